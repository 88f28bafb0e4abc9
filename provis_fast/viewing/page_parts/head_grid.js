// All heads at a glance, layer by layer: the darker, the larger the share of contacts. Heads with
// too few arcs for a share are hollow. A click or Enter chooses a head.

// From light to dark in luminance, so that grey prints keep the order (after ColorBrewer's YlGnBu).
const GRID_COLOURS = ["#F7FBE8", "#C7E9B4", "#7FCDBB", "#41B6C4", "#1D91C0", "#225EA8", "#0C2C84"];
const GRID_LEFT = 44;
const GRID_TOP = 34;

class HeadGrid {
  // heads(): those of HeadCounts.at; chosen(layer, head) is told what the reader chose.
  constructor(place, data, state, chosen) {
    this.data = data;
    this.state = state;
    this.chosen = chosen;
    this.heads = new Map();
    this.cursor = null;
    this.surface = new CanvasSurface(element("canvas"));
    this.picture = element("div", { role: "img" }, this.surface.canvas);
    this.stage = element("div", {
      class: "companion-stage companion-grid", tabindex: "0", role: "application",
      "aria-roledescription": "grid of heads",
      "aria-label": "Heads by layer: arrow keys move, Enter chooses",
    }, this.picture);
    this.readout = element("p", { class: "companion-readout", "aria-live": "polite" });
    place.append(this.stage, this.readout);
    this.stage.addEventListener("pointermove", (event) => this.#move(this.#cellAt(event)));
    this.stage.addEventListener("pointerleave", () => this.#move(null));
    this.stage.addEventListener("click", (event) => {
      const cell = this.#cellAt(event);
      if (cell) this.chosen(cell.layer, cell.head);
    });
    this.stage.addEventListener("keydown", (event) => this.#keyPressed(event));
    this.stage.addEventListener("blur", () => this.#move(null));
  }

  // Show the counts of all heads in a width.
  show(heads, width) {
    this.heads = new Map(heads.map((head) => [`${head.layer}-${head.head}`, head]));
    this.width = width;
    this.draw();
  }

  draw() {
    const { n_layers: layers, n_heads: columns } = this.data.payload.model;
    const room = (this.width - GRID_LEFT - 8) / columns;
    this.side = Math.max(5, Math.min(22, room));
    const bottom = GRID_TOP + layers * this.side;
    const width = Math.max(this.width, GRID_LEFT + columns * this.side + 8);
    const height = bottom + 42;
    this.surface.resize(width, height);
    this.stage.style.height = `${height}px`;
    this.#paintAxes(layers, columns);
    const shares = [...this.heads.values()].map(({ proportion }) => proportion ?? 0);
    this.most = Math.max(...shares, 0) || 1;
    for (const head of this.heads.values()) this.#paintCell(head);
    this.#paintFrame(this.state.layer, this.state.head, "#FFFFFF", 5);
    this.#paintFrame(this.state.layer, this.state.head, "#111111", 2.5);
    if (this.cursor) this.#paintFrame(this.cursor.layer, this.cursor.head, "#D55E00", 2);
    this.#paintScale(bottom + 14);
    const known = shares.length ? [...this.heads.values()].filter((head) => head.proportion !== null)
      : [];
    this.picture.setAttribute("aria-label",
      `Share of contacts of ${layers} layers by ${columns} heads; ${known.length} have enough ` +
      `arcs; head ${chosenHead(this.state)} is chosen. The table tells the same.`);
  }

  #corner(layer, head) {
    return [GRID_LEFT + (head - 1) * this.side, GRID_TOP + (layer - 1) * this.side];
  }

  #paintAxes(layers, columns) {
    const { surface, side } = this;
    const every = (count) => Math.max(1, Math.ceil(16 / side)) * (count > 60 ? 2 : 1);
    const note = { size: 10, fill: "#444444" };
    surface.text(GRID_LEFT + (columns * side) / 2, 11, "head", { ...note, anchor: "middle" });
    surface.text(11, GRID_TOP + (layers * side) / 2, "layer", { ...note, anchor: "middle", turn: -90 });
    for (let head = 1; head <= columns; head++) {
      if (head !== 1 && head % every(columns) !== 0) continue;
      surface.text(GRID_LEFT + (head - 0.5) * side, GRID_TOP - 5, String(head),
        { ...note, anchor: "middle" });
    }
    for (let layer = 1; layer <= layers; layer++) {
      if (layer !== 1 && layer % every(layers) !== 0) continue;
      surface.text(GRID_LEFT - 6, GRID_TOP + (layer - 0.5) * side + 3.5, String(layer),
        { ...note, anchor: "end" });
    }
  }

  #paintCell({ layer, head, proportion }) {
    const [x, y] = this.#corner(layer, head);
    const inner = this.side - 1;
    if (proportion === null) {
      const third = inner / 3;
      this.surface.path(`M${x + third} ${y + inner / 2}h${third}`, { stroke: "#AAB2BA" });
    } else {
      this.surface.boxes([x, y, inner, inner], gridColour(proportion / this.most));
    }
  }

  #paintFrame(layer, head, stroke, width) {
    const [x, y] = this.#corner(layer, head);
    this.surface.path(`M${x - 1} ${y - 1}h${this.side + 1}v${this.side + 1}h${-this.side - 1}z`,
      { stroke, width });
  }

  #paintScale(y) {
    const { surface } = this;
    const wide = 120;
    for (let k = 0; k < wide; k++) {
      surface.boxes([GRID_LEFT + k, y, 1.5, 9], gridColour(k / (wide - 1)));
    }
    const note = { size: 10, fill: "#444444" };
    surface.text(GRID_LEFT, y + 21, "0%", note);
    surface.text(GRID_LEFT + wide, y + 21, percent(this.most), { ...note, anchor: "end" });
    surface.text(GRID_LEFT + wide + 10, y + 8, "of arcs in contact", note);
  }

  #cellAt(event) {
    const box = this.stage.getBoundingClientRect();
    const head = Math.floor((event.clientX - box.left - GRID_LEFT) / this.side) + 1;
    const layer = Math.floor((event.clientY - box.top - GRID_TOP) / this.side) + 1;
    return this.heads.get(`${layer}-${head}`) ?? null;
  }

  #move(cell) {
    if (cell?.layer === this.cursor?.layer && cell?.head === this.cursor?.head) return;
    this.cursor = cell && { layer: cell.layer, head: cell.head };
    this.readout.textContent = cell ? headSentence(cell) : "\u00A0";
    this.draw();
  }

  #keyPressed(event) {
    const step = {
      ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0],
    }[event.key];
    const { layer, head } = this.cursor ?? this.state;
    if (step) {
      event.preventDefault();
      const next = this.heads.get(`${layer + step[0]}-${head + step[1]}`);
      if (next) this.#move(next);
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      this.chosen(layer, head);
    }
  }
}

// Colour of a share between 0 and 1, between the given ones by proportion.
function gridColour(share) {
  const place = Math.min(Math.max(share, 0), 1) * (GRID_COLOURS.length - 1);
  const below = Math.min(Math.floor(place), GRID_COLOURS.length - 2);
  const parts = [below, below + 1].map((k) =>
    [1, 3, 5].map((at) => parseInt(GRID_COLOURS[k].slice(at, at + 2), 16)));
  const mixed = parts[0].map((from, k) => Math.round(from + (parts[1][k] - from) * (place - below)));
  return `rgb(${mixed.join(" ")})`;
}

function percent(share) {
  return share === null ? "–" : `${(100 * share).toFixed(1)}%`;
}

// "Head 12-4: 57 arcs, 40 with known contact, 20 in contact (50.0%, background 2.1%)."
function headSentence({ layer, head, arcs, eligible, contacts, proportion, background }) {
  const share = proportion === null ? "too few for a share"
    : `${percent(proportion)}, background ${percent(background)}`;
  return `Head ${layer}-${head}: ${counted(arcs, "arc")}, ${countText(eligible)} with ` +
    `known contact, ${countText(contacts)} in contact (${share})`;
}
