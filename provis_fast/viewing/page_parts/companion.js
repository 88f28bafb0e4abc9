// What the two-dimensional figures have in common: three canvases over each other (paper, arcs,
// what is pointed at), magnifying, pointing with mouse and keyboard, and saving as SVG.

class Companion {
  // words: {title, file, role, hint}.
  constructor(place, data, state, words) {
    this.element = place;
    this.data = data;
    this.state = state;
    this.words = words;
    this.pinned = false;
    this.waiting = 0;
    this.#build();
    this.axis = this.newAxis();
    this.#listen();
    this.redraw();
  }

  get chosenChains() {
    return [...this.state.chains].sort((a, b) => a - b);
  }

  newAxis() {
    return new ResidueAxis(this.data.chains, this.chosenChains);
  }

  #build() {
    const { title, role, hint, file } = this.words;
    const tool = (label, name, act) =>
      element("button", { type: "button", "aria-label": name, title: name, onclick: act }, label);
    [this.paper, this.marks, this.overlay] = ["paper", "marks", "overlay"].map((name) =>
      new CanvasSurface(element("canvas", { class: `companion-${name}` })));
    this.picture = element("div", { role: "img" }, this.paper.canvas, this.marks.canvas,
      this.overlay.canvas);
    this.stage = element("div", {
      class: "companion-stage", tabindex: "0", role: "application", "aria-roledescription": role,
      "aria-label": title, "aria-describedby": `${file}-hint`,
    }, this.picture);
    this.readout = element("p", { class: "companion-readout" });
    this.summary = element("p", { class: "companion-summary" });
    this.spoken = element("p", { class: "companion-spoken", "aria-live": "polite" });
    this.element.classList.add("companion");
    this.element.replaceChildren(
      element("div", { class: "companion-head" },
        element("h2", { class: "companion-title" }, title),
        element("div", { class: "companion-tools" },
          tool("−", "Zoom out", () => this.zoom(1 / 1.5)),
          tool("+", "Zoom in", () => this.zoom(1.5)),
          tool("Whole", "Show the whole", () => this.showWhole()),
          tool("SVG", `Save the ${title.toLowerCase()} as SVG`, () => this.save()))),
      this.stage, this.readout, this.summary,
      element("p", { class: "companion-hint", id: `${file}-hint` }, hint), this.spoken);
  }

  #listen() {
    this.state.addEventListener("change", (event) => {
      if (event.detail.includes("chains")) this.axis = this.newAxis();
      this.pinned = false;
      this.redraw();
    });
    this.state.addEventListener("hover", () => this.#ask("overlay"));
    new ResizeObserver(() => this.redraw()).observe(this.element);
    const { stage } = this;
    stage.addEventListener("pointermove", (event) => this.#pointerMoved(event));
    stage.addEventListener("pointerdown", (event) => this.#pointerDown(event));
    stage.addEventListener("pointerup", (event) => this.#pointerUp(event));
    stage.addEventListener("pointercancel", () => { this.drag = null; });
    stage.addEventListener("pointerleave", () => {
      if (!this.pinned && !this.drag) this.state.hover(null);
    });
    stage.addEventListener("wheel", (event) => this.#wheelTurned(event), { passive: false });
    stage.addEventListener("keydown", (event) => this.#keyPressed(event));
  }

  // Draw everything at the next frame.
  redraw() {
    this.#ask("all");
  }

  #ask(what) {
    if (what === "all" || !this.asked) this.asked = what;
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => {
      this.waiting = 0;
      const { asked } = this;
      this.asked = null;
      if (asked === "all") this.draw();
      else this.drawOverlay();
    });
  }

  // Draw everything now.
  draw() {
    const width = Math.floor(this.element.clientWidth);
    if (width < 40) return;                               // not on the page at present
    this.arcs = arcsOnPaper(this.data, this.state);
    const layout = this.layout(width, false);
    this.drawn = layout;
    for (const surface of [this.paper, this.marks, this.overlay]) {
      surface.resize(layout.width, layout.height);
    }
    this.stage.style.height = `${layout.height}px`;
    this.stage.classList.toggle("companion-zoomed", !this.axis.whole);
    this.paintPaper(this.paper, layout);
    this.paintArcs(this.marks, layout);
    const summary = arcsSummary(this.state, this.arcs);
    this.summary.textContent = summary;
    this.picture.setAttribute("aria-label", `${this.words.title}. ${this.describe()} ${summary}`);
    this.element.dataset.arcs = String(this.arcs.drawn.length);
    this.drawOverlay();
  }

  drawOverlay() {
    if (!this.drawn) return;
    this.overlay.resize(this.drawn.width, this.drawn.height);
    const target = this.hovered();
    if (target) this.paintTarget(this.overlay, this.drawn, target);
    this.readout.textContent =
      targetSentence(this.data, this.state, target, this.arcs.drawn) || "\u00A0";
  }

  // What is pointed at anywhere on the page, if its chain is shown.
  hovered() {
    const target = this.state.hovered;
    return target && this.state.chains.has(target.chain) ? target : null;
  }

  // Tell the page, and by voice what the keyboard chose.
  point(target, aloud = false) {
    this.state.hover(target);
    if (aloud) {
      this.spoken.textContent = targetSentence(this.data, this.state, target, this.arcs.drawn);
    }
  }

  #place(event) {
    const box = this.stage.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  #pointerDown(event) {
    if (event.button !== 0) return;
    const [x, y] = this.#place(event);
    this.drag = { x, y, moved: false };
    this.stage.setPointerCapture(event.pointerId);
  }

  #pointerMoved(event) {
    if (!this.drawn) return;
    const [x, y] = this.#place(event);
    if (this.drag) {
      const [dx, dy] = [x - this.drag.x, y - this.drag.y];
      if (Math.abs(dx) + Math.abs(dy) < 4 && !this.drag.moved) return;
      this.drag = { x, y, moved: true };
      this.pan(-dx / this.axis.scale, -dy / this.axis.scale);
      this.redraw();
    } else if (!this.pinned) {
      this.point(this.hit(x, y));
    }
  }

  // A click holds what it is on, until the next one, or Escape.
  #pointerUp(event) {
    const moved = !this.drag || this.drag.moved;
    this.drag = null;
    if (moved || !this.drawn) return;
    const target = this.hit(...this.#place(event));
    this.pinned = target !== null;
    this.point(target);
  }

  // Without a click or Ctrl the page scrolls, as wherever else.
  #wheelTurned(event) {
    const meant = event.ctrlKey || event.metaKey || document.activeElement === this.stage;
    if (!meant || (event.deltaY > 0 && this.axis.whole)) return;
    event.preventDefault();
    this.zoom(Math.exp(-Math.sign(event.deltaY) * 0.25), ...this.#place(event));
  }

  #keyPressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.drawn) return;
    const far = event.shiftKey ? 10 : 1;
    const acts = {
      ArrowLeft: () => this.moveCursor(-far, 0), ArrowRight: () => this.moveCursor(far, 0),
      ArrowUp: () => this.moveCursor(0, -far), ArrowDown: () => this.moveCursor(0, far),
      PageDown: () => this.stepArc(1), PageUp: () => this.stepArc(-1),
      "+": () => this.zoom(1.5), "=": () => this.zoom(1.5), "-": () => this.zoom(1 / 1.5),
      0: () => this.showWhole(),
      Escape: () => {
        this.pinned = false;
        this.point(null);
      },
    };
    const act = acts[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  // The next arc, strongest first.
  stepArc(step) {
    const { drawn } = this.arcs;
    if (drawn.length === 0) return;
    const now = this.hovered();
    const place = now && now.residue === undefined
      ? drawn.indexOf(arcOfPair(drawn, this.state, now)) : -1;
    const next = place < 0 ? (step > 0 ? 0 : drawn.length - 1)
      : (place + step + drawn.length) % drawn.length;
    const { chain, query, key } = drawn[next];
    this.pinned = true;
    this.reveal({ chain, query, key });
    this.point({ chain, query, key }, true);
  }

  showWhole() {
    this.axis.showWhole();
    this.redraw();
  }

  // Save as a figure of its own, with what is in sight.
  save() {
    const { file, title } = this.words;
    const { payload } = this.data;
    this.arcs ??= arcsOnPaper(this.data, this.state);
    const [only, ...others] = this.chosenChains;
    const chain = only === undefined || others.length ? "" : `, chain ${this.data.chains[only].id}`;
    const heading = `${payload.title}${chain}: head ${chosenHead(this.state)} of ${modelName(this.data)}`;
    const { units, millimetres } = this.figureSize;
    const layout = this.layout(units, true);
    const surface = new SvgSurface(layout.width, layout.height, millimetres, heading,
      `${title}. ${arcsSummary(this.state, this.arcs)}`);
    surface.text(layout.plot.x, 13, heading, { size: 12, weight: "bold" });
    layout.heading.forEach((line, k) => {
      surface.text(layout.plot.x, 28 + 13 * k, line, { size: 10, fill: "#444444" });
    });
    this.paintPaper(surface, layout);
    surface.group("arcs", () => this.paintArcs(surface, layout));
    download(new Blob([String(surface)], { type: "image/svg+xml" }),
      `${fileStem(this.data, this.state)}_${file}.svg`);
  }

  // Lines below the heading of a saved figure, no wider than `width`.
  headingLines(width) {
    const lines = [""];
    for (const word of arcsSummary(this.state, this.arcs).split(" ")) {
      const longer = `${lines[lines.length - 1]} ${word}`.trim();
      if (textWidth(longer, 10) > width && lines[lines.length - 1]) lines.push(word);
      else lines[lines.length - 1] = longer;
    }
    return lines;
  }
}
