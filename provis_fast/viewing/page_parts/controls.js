// The form above the scene: which head, from which threshold up, what it means, and the exports.

// "300 of 512 arcs drawn, 212 weaker ones are not"
function countLine(data, state) {
  const arcs = data.arcs(state);
  const drawn = arcs.slice(0, MAX_DRAWN);
  const plural = (number, word) => `${countText(number)} ${word}${number === 1 ? "" : "s"}`;
  const hidden = arcs.length - drawn.length;
  let line = arcs.length === 0
    ? `No arc reaches ${state.threshold.toFixed(2)}`
    : hidden === 0
      ? `${plural(arcs.length, "arc")} drawn`
      : `${countText(drawn.length)} of ${plural(arcs.length, "arc")} drawn, ` +
        `${countText(hidden)} weaker ${hidden === 1 ? "one is" : "ones are"} not`;
  const flat = drawn.filter((arc) =>
    !data.position(arc.chain, arc.query) || !data.position(arc.chain, arc.key)).length;
  if (flat > 0) line += `; ${countText(flat)} in the diagrams only, for want of coordinates`;
  return line;
}

class Controls {
  constructor(form, data, state, scene) {
    this.data = data;
    this.state = state;
    this.scene = scene;
    this.counts = HeadCounts.of(data);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.append(this.#headFields(), this.#arcFields(), this.#legend(), this.#exports());
    document.addEventListener("keydown", (event) => this.#onKey(event));
    state.addEventListener("change", () => this.#show());
    this.#show();
  }

  #options(number) {
    return Array.from({ length: number }, (_, k) => element("option", { value: k + 1 }, k + 1));
  }

  #headFields() {
    const { n_layers: layers, n_heads: heads } = this.data.payload.model;
    const choose = (name) => (event) => this.state.set({ [name]: Number(event.target.value) });
    this.layer = element("select", { id: "layer", onchange: choose("layer") },
      ...this.#options(layers));
    this.head = element("select", { id: "head", onchange: choose("head") },
      ...this.#options(heads));
    this.previous = element("button",
      { type: "button", id: "previous", onclick: () => this.#step(-1) }, "Better head");
    this.next = element("button",
      { type: "button", id: "next", onclick: () => this.#step(1) }, "Next head");
    this.rank = element("p", { id: "rank", "aria-live": "polite" });
    return element("fieldset", { id: "head-fields" }, element("legend", {}, "Head"),
      element("div", { class: "row" },
        element("label", { for: "layer" }, "Layer"), this.layer,
        element("label", { for: "head" }, "Head"), this.head),
      element("div", { class: "row" }, this.previous, this.next),
      this.rank);
  }

  #arcFields() {
    const { threshold } = this.data.payload;
    this.threshold = element("input", {
      type: "range", id: "threshold", min: threshold, max: 1, step: "any",
      oninput: (event) => this.state.set({ threshold: Number(event.target.value) }),
      onkeydown: (event) => this.#onSliderKey(event),
    });
    this.thresholdText = element("output", { for: "threshold", id: "threshold-text" });
    const direction = (value, text, symmetric) => element("label", {},
      element("input", {
        type: "radio", name: "direction", value,
        onchange: () => this.state.set({ symmetric }),
      }), text);
    this.directions = element("div",
      { class: "row", role: "radiogroup", "aria-label": "Direction" },
      direction("symmetric", "Larger of both directions", true),
      direction("directed", "Query to key", false));
    const fields = element("fieldset", { id: "arc-fields" }, element("legend", {}, "Arcs"),
      element("div", { class: "row" },
        element("label", { for: "threshold" }, "Weight from"), this.threshold, this.thresholdText),
      this.directions);
    if (this.data.chains.length > 1) fields.append(this.#chainFields());
    this.count = element("p", { id: "count", "aria-live": "polite" });
    fields.append(this.count);
    return fields;
  }

  #chainFields() {
    const boxes = this.data.chains.map((chain, c) => element("label", {},
      element("input", {
        type: "checkbox", value: c, checked: this.state.chains.has(c),
        onchange: (event) => {
          const chains = new Set(this.state.chains);
          if (event.target.checked) chains.add(c);
          else chains.delete(c);
          this.state.set({ chains });
        },
      }), chain.id));
    return element("div", { class: "row", role: "group", "aria-label": "Chains", id: "chains" },
      element("span", {}, "Chains"), ...boxes);
  }

  #legend() {
    const { cutoff, min_separation: separation } = this.data.payload.contact;
    const swatch = (colour, text, round = false) => {
      const mark = element("span", { class: round ? "swatch round" : "swatch" });
      mark.style.backgroundColor = colour;
      return element("li", {}, mark, text);
    };
    this.kinds = {};
    const kind = (name, text) => {
      const item = swatch(ARC_COLOURS[name], text);
      this.kinds[name] = element("span", { class: "number" });
      item.append(" ", this.kinds[name]);
      return item;
    };
    const list = element("ul", { id: "legend" },
      kind("contact", `In contact: C-alphas within ${cutoff} Å`),
      kind("apart", "Not in contact"),
      kind("unknown", `Not counted: unresolved, or fewer than ${separation} apart`));
    for (const [name, text] of Object.entries(SCENE_TRACKS)) {
      if (this.data.chains.some((chain) => labelledResidues(chain, name).length > 0)) {
        list.append(swatch(SCENE_COLOURS[name], text, true));
      }
    }
    return element("fieldset", { id: "legend-fields" },
      element("legend", {}, "Colours"), list);
  }

  #exports() {
    const { data, state } = this;
    const button = (id, text, action) =>
      element("button", { type: "button", id, onclick: () => this.#export(action) }, text);
    this.message = element("p", { id: "export-message", role: "status" });
    return element("fieldset", { id: "export-fields" }, element("legend", {}, "Save"),
      element("div", { class: "row" },
        button("save-png", "Picture (PNG)", async () => {
          if (!this.scene.viewer) throw new Error("there is no picture yet");
          download(await this.scene.viewer.picture(2), `${fileStem(data, state)}.png`);
        }),
        button("save-scene", "Scene (MVSJ)", async () =>
          download(sceneFile(data, state, this.scene.sight), `${fileStem(data, state)}.mvsj`)),
        button("save-arcs", "Arcs (CSV)", async () =>
          download(arcsFile(data, state), `${fileStem(data, state)}.csv`)),
        button("reset-camera", "Reset camera", async () => this.scene.viewer?.resetCamera())),
      this.message);
  }

  async #export(action) {
    this.message.textContent = "";
    try {
      await action();
    } catch (error) {
      this.message.textContent = `Not saved: ${error.message}`;
    }
  }

  // The ranking at the chosen threshold and chains, as the table of heads has it.
  #ranking() {
    return this.counts.at(this.state.threshold, this.state.chains);
  }

  // Place of the chosen head in the ranking, from 0.
  #place() {
    return this.#ranking().findIndex((row) =>
      row.layer === this.state.layer && row.head === this.state.head);
  }

  #step(by) {
    const row = this.#ranking()[this.#place() + by];
    if (row) this.state.set({ layer: row.layer, head: row.head });
  }

  #onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest?.("input, select, textarea")) return;
    if (event.key === "n") this.#step(1);
    if (event.key === "p") this.#step(-1);
  }

  // Steps of a hundredth by the arrow keys, of a tenth by page up and down.
  #onSliderKey(event) {
    const steps = {
      ArrowRight: 0.01, ArrowUp: 0.01, ArrowLeft: -0.01, ArrowDown: -0.01,
      PageUp: 0.1, PageDown: -0.1,
    };
    if (!(event.key in steps)) return;
    event.preventDefault();
    const lowest = this.data.payload.threshold;
    const moved = Math.round((this.state.threshold + steps[event.key]) * 100) / 100;
    this.state.set({ threshold: Math.min(1, Math.max(lowest, moved)) });
  }

  #show() {
    const { data, state } = this;
    this.layer.value = state.layer;
    this.head.value = state.head;
    this.threshold.value = state.threshold;
    this.thresholdText.textContent = state.threshold.toFixed(2);
    for (const input of this.directions.querySelectorAll("input")) {
      input.checked = (input.value === "symmetric") === state.symmetric;
    }
    const place = this.#place();
    this.previous.disabled = place <= 0;
    this.next.disabled = place < 0 || place === this.#ranking().length - 1;
    this.rank.textContent = this.#rankText(place);
    this.count.textContent = countLine(data, state);
    const drawn = data.arcs(state).slice(0, MAX_DRAWN);
    for (const [name, place] of Object.entries(this.kinds)) {
      place.textContent = countText(drawn.filter((arc) => arcKind(arc) === name).length);
    }
  }

  #rankText(place) {
    const percent = (share) => `${(100 * share).toFixed(1)}%`;
    const heads = this.#ranking();
    if (place < 0) return "Not ranked";
    const row = heads[place];
    const start = `Ranked ${countText(place + 1)} of ${countText(heads.length)}`;
    if (row.eligible === 0) return `${start}: no arc that counts for contacts`;
    if (row.proportion === null) {
      return `${start}: ${countText(row.eligible)} arcs that count for contacts are too few for a ` +
        `share (from ${countText(this.counts.fewest)} on)`;
    }
    return `${start}: ${percent(row.proportion)} of ${countText(row.eligible)} arcs that count ` +
      `join residues in contact (any pair: ${percent(row.background)})`;
  }
}
