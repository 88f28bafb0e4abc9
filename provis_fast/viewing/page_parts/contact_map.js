// Contacts of the structure in grey in both triangles, and the arcs of the chosen head over them:
// row = query, column = key, from the top left. Symmetric arcs stand above the diagonal, so that
// the structure alone can be seen below it.

const CONTACT_GREY = "#AFB5BC";
const UNRESOLVED_SHADE = "#ECE7DC";
const BETWEEN_CHAINS_SHADE = "#F4F4F4";
const LEAST_FULL_MARK = 10;                             // pixels of a mark of weight 1
const LARGEST_MAP = 620;                                // pixels of a side

class ContactMap extends Companion {
  constructor(place, data, state) {
    super(place, data, state, {
      title: "Contact map", file: "contact_map", role: "contact map with arcs",
      hint: "Arrow keys move a cursor (with Shift by ten), page down and up go through the arcs, strongest " +
        "first; plus, minus and 0, or the wheel after a click, zoom; drag to move; a click holds " +
        "a pair, Escape lets go.",
    });
  }

  get figureSize() {
    return { units: 480, millimetres: 120 };
  }

  // Rows go with columns: a second axis of the same chains, magnified alike.
  newAxis() {
    this.rows = super.newAxis();
    return super.newAxis();
  }

  layout(width, saved) {
    const left = 58;
    const lines = saved ? this.headingLines(width - left - 12) : [];
    const top = (saved ? 26 + 13 * lines.length : 0) + (this.state.chains.size > 1 ? 22 : 10);
    const side = Math.max(80, Math.min(width - left - 14, LARGEST_MAP));
    const plot = { x: left, y: top, side };
    const whole = Math.min(width, left + side + 14);
    const legend = { y: top + side + 42, x: left, width: whole - left - 10 };
    const columns = this.axis.placed(plot.x, plot.x + side);
    const rows = this.rows.placed(plot.y, plot.y + side);
    if (!saved) [this.axis, this.rows] = [columns, rows];
    const layout = { width: whole, plot, legend, heading: lines, columns, rows };
    layout.items = this.#legendItems(layout);
    layout.height = legend.y + 6 + paintLegend(null, layout.items, legend.x, legend.y, legend.width);
    return layout;
  }

  paintPaper(surface, layout) {
    const { plot, columns, legend } = layout;
    const inside = (draw) => surface.clipped(plot.x, plot.y, plot.side, plot.side, draw);
    inside(() => {
      if (columns.blocks.size > 1) {
        surface.boxes([plot.x, plot.y, plot.side, plot.side], BETWEEN_CHAINS_SHADE);
      }
      for (const index of columns.blocks.keys()) this.#paintBlock(surface, layout, index);
    });
    this.#paintAxes(surface, layout);
    surface.path(`M${plot.x} ${plot.y}h${plot.side}v${plot.side}h${-plot.side}z`,
      { stroke: "#444444" });
    paintLegend(surface, layout.items, legend.x, legend.y, legend.width);
  }

  #paintBlock(surface, { columns, rows }, index) {
    const { chain, length } = columns.blocks.get(index);
    const [x, y] = [columns.edge(index, 0), rows.edge(index, 0)];
    const side = length * columns.scale;
    surface.boxes([x, y, side, side], "#FFFFFF");
    const bands = [];
    for (const run of columns.runs(index, (i) => chain.known[i])) {
      if (!run.value) {
        bands.push(columns.edge(index, run.first), y, (run.after - run.first) * columns.scale, side);
      }
    }
    for (const run of rows.runs(index, (i) => chain.known[i])) {
      if (!run.value) {
        bands.push(x, rows.edge(index, run.first), side, (run.after - run.first) * columns.scale);
      }
    }
    surface.boxes(bands, UNRESOLVED_SHADE);
    surface.path(`M${x} ${y}l${side} ${side}`, { stroke: "#C8C8C8", width: 0.8 });
    surface.group("contacts", () => surface.boxes(contactBoxes(chain, index, columns, rows),
      CONTACT_GREY));
    if (columns.blocks.size > 1) {
      surface.path(`M${x} ${y}h${side}v${side}h${-side}z`, { stroke: "#8A8A8A", width: 0.8 });
    }
  }

  #paintAxes(surface, { plot, columns, rows }) {
    const [right, bottom] = [plot.x + plot.side, plot.y + plot.side];
    for (const { pixel, label } of columns.ticks(42)) {
      surface.path(`M${pixel} ${bottom}v4`, { stroke: "#444444" });
      surface.text(pixel, bottom + 15, label, { anchor: "middle" });
    }
    for (const { pixel, label } of rows.ticks(28)) {
      surface.path(`M${plot.x} ${pixel}h-4`, { stroke: "#444444" });
      surface.text(plot.x - 7, pixel + 4, label, { anchor: "end" });
    }
    const [first, second] = this.state.symmetric ? ["Residue", "Residue"]
      : ["Query residue", "Key residue"];
    surface.text((plot.x + right) / 2, bottom + 32, second, { anchor: "middle", size: 12 });
    surface.text(13, (plot.y + bottom) / 2, first, { anchor: "middle", size: 12, turn: -90 });
    if (columns.blocks.size > 1) {
      for (const { index, chain } of columns.blocks.values()) {
        const [from, to] = columns.inSight(index);
        const [x, end] = [columns.edge(index, from), columns.edge(index, to)];
        const words = [`chain ${chain.id}`, chain.id].find((each) => textWidth(each) < end - x);
        if (words && to > from) {
          surface.text(Math.min(Math.max((x + end) / 2, plot.x), right), plot.y - 7, words,
            { anchor: "middle", weight: "bold" });
        }
      }
    }
  }

  // Pixels of the centre of a pair, and its row and column.
  #spot({ columns, rows }, { chain, query, key }) {
    const [row, column] = this.state.symmetric
      ? [Math.min(query, key), Math.max(query, key)] : [query, key];
    return { x: columns.at(chain, column), y: rows.at(chain, row), row, column };
  }

  // Area goes with weight; a weight of 1 fills a magnified cell.
  #side({ columns }, weight) {
    return Math.max(LEAST_FULL_MARK, 0.92 * columns.scale) * Math.sqrt(weight);
  }

  paintArcs(surface, layout) {
    const { plot } = layout;
    const reach = this.#side(layout, 1);
    surface.clipped(plot.x, plot.y, plot.side, plot.side, () => {
      for (const arc of this.arcs.painted) {
        const { x, y } = this.#spot(layout, arc);
        if (x < plot.x - reach || x > plot.x + plot.side + reach ||
          y < plot.y - reach || y > plot.y + plot.side + reach) continue;
        paintMark(surface, arcKind(arc), x, y, this.#side(layout, arc.weight),
          surface instanceof SvgSurface ? arcSentence(this.data, this.state, arc) : undefined);
      }
    });
  }

  paintTarget(surface, layout, target) {
    const { plot, columns, rows } = layout;
    const [right, bottom] = [plot.x + plot.side, plot.y + plot.side];
    const pair = target.residue === undefined;
    const spot = pair ? this.#spot(layout, target) : {
      x: columns.at(target.chain, target.residue), y: rows.at(target.chain, target.residue),
      row: target.residue, column: target.residue,
    };
    surface.clipped(plot.x, plot.y, plot.side, plot.side, () => {
      surface.path(`M${spot.x} ${plot.y}V${bottom}M${plot.x} ${spot.y}H${right}`,
        { stroke: "#111111", width: 1, opacity: 0.75 });
      if (pair) {
        const arc = arcOfPair(this.arcs.drawn, this.state, target);
        const half = (arc ? this.#side(layout, arc.weight) : columns.scale) / 2 + 3;
        surface.path(`M${spot.x - half} ${spot.y - half}h${2 * half}v${2 * half}h${-2 * half}z`,
          { stroke: "#111111", width: 1.5 });
      }
    });
    const flags = [];
    if (spot.x >= plot.x && spot.x <= right) {
      flags.push({ x: spot.x, y: bottom + 15, residue: spot.column, anchor: "middle" });
    }
    if (spot.y >= plot.y && spot.y <= bottom) {
      flags.push({ x: plot.x - 7, y: spot.y + 4, residue: spot.row, anchor: "end" });
    }
    paintFlags(surface, this.data.chains[target.chain].numbers, flags);
  }

  // The nearest arc within a few pixels, or else the pair under the pointer.
  hit(x, y) {
    const layout = this.drawn;
    let [best, nearest] = [null, Infinity];
    for (const arc of this.arcs.drawn) {
      const spot = this.#spot(layout, arc);
      const away = Math.max(Math.abs(spot.x - x), Math.abs(spot.y - y));
      if (away < nearest && away <= Math.max(4, this.#side(layout, arc.weight) / 2 + 2)) {
        [best, nearest] = [arc, away];
      }
    }
    if (best) return { chain: best.chain, query: best.query, key: best.key };
    const [column, row] = [this.axis.residueAt(x), this.rows.residueAt(y)];
    if (!column || !row || column.chain !== row.chain) return null;
    if (column.residue === row.residue) return { chain: row.chain, residue: row.residue };
    return { chain: row.chain, query: row.residue, key: column.residue };
  }

  moveCursor(right, down) {
    const now = this.hovered();
    const chain = now ? now.chain : this.chosenChains[0];
    if (chain === undefined) return;
    const { length } = this.data.chains[chain];
    let [row, column] = [0, 0];
    if (now) {
      ({ row, column } = now.residue === undefined ? this.#spot(this.drawn, now)
        : { row: now.residue, column: now.residue });
      row = Math.min(Math.max(0, row + down), length - 1);
      column = Math.min(Math.max(0, column + right), length - 1);
    }
    // Symmetric pairs live above the diagonal, and the cursor with them.
    if (this.state.symmetric && column < row) [row, column] = down > 0 ? [row, row] : [column, column];
    const target = row === column ? { chain, residue: row } : { chain, query: row, key: column };
    this.pinned = true;
    this.reveal(target);
    this.point(target, true);
  }

  reveal(target) {
    if (this.axis.whole) return;
    const { row, column } = target.residue === undefined ? this.#spot(this.drawn, target)
      : { row: target.residue, column: target.residue };
    this.axis.reveal(target.chain, column);
    this.rows.reveal(target.chain, row);
    this.redraw();
  }

  zoom(factor, x, y) {
    const { plot } = this.drawn;
    const within = (value, from) => Math.min(Math.max(value, from), from + plot.side);
    this.axis.zoom(factor, within(x ?? plot.x + plot.side / 2, plot.x));
    this.rows.zoom(factor, within(y ?? plot.y + plot.side / 2, plot.y));
    this.redraw();
  }

  showWhole() {
    this.rows.showWhole();
    super.showWhole();
  }

  pan(right, down) {
    this.axis.move(right);
    this.rows.move(down);
  }

  describe() {
    const contacts = this.chosenChains.reduce(
      (sum, index) => sum + this.data.chains[index].contacts.length / 2, 0);
    const ids = this.chosenChains.map((index) => this.data.chains[index].id);
    return `${counted(contacts, "contact")} in chain${ids.length === 1 ? "" : "s"} ` +
      `${ids.join(", ") || "none"}.`;
  }

  #legendItems({ columns }) {
    const { cutoff, atom } = this.data.payload.contact;
    const box = (fill) => (surface, x, y) => surface.boxes([x, y - 5, 10, 10], fill);
    const items = [{
      width: 10, words: `contact (${atomName(atom)} closer than ${cutoff} Å)`,
      draw: box(CONTACT_GREY),
    }];
    const kinds = new Set(this.arcs.drawn.map(arcKind));
    for (const kind of Object.keys(ARC_MARKS)) {
      if (!kinds.has(kind)) continue;
      items.push({
        width: 10, words: kindLegend(this.data, kind),
        draw: (surface, x, y) => paintMark(surface, kind, x + 5, y, 8),
      });
    }
    if (kinds.size) {
      const weights = [0.1, 0.5, 1];
      const full = this.#side({ columns }, 1);
      const magnified = full > 14;                      // too large for a legend
      items.push({
        width: 14 + (magnified ? 0 : 24),
        words: magnified ? "area: weight, of which 1 fills the cell"
          : `weight ${weights.join(", ")}`,
        draw: (surface, x, y) => (magnified ? [0.5] : weights).forEach((weight, k) =>
          paintMark(surface, "plain", x + 6 + 13 * k, y, Math.min(full, 14) * Math.sqrt(weight))),
      });
    }
    const blocks = [...columns.blocks.values()];
    if (blocks.some(({ chain }) => chain.known.some((known) => !known))) {
      items.push({ width: 10, words: "unresolved", draw: box(UNRESOLVED_SHADE) });
    }
    if (blocks.length > 1) {
      items.push({
        width: 10, words: "between chains: not analysed",
        draw: (surface, x, y) => {
          box(BETWEEN_CHAINS_SHADE)(surface, x, y);
          surface.path(`M${x} ${y - 5}h10v10h-10z`, { stroke: "#8A8A8A", width: 0.6 });
        },
      });
    }
    return items;
  }
}

// Boxes (x, y, width, height) of the contacts in sight, in both triangles.
function contactBoxes(chain, index, columns, rows) {
  const side = Math.max(1, columns.scale);
  const [left, top] = [columns.edge(index, 0), rows.edge(index, 0)];
  const [right, bottom] = [columns.to, rows.to];
  const boxes = [];
  const add = (row, column) => {
    const [x, y] = [left + column * columns.scale, top + row * columns.scale];
    if (x + side >= columns.from && x <= right && y + side >= rows.from && y <= bottom) {
      boxes.push(x, y, side, side);
    }
  };
  for (let k = 0; k < chain.contacts.length; k += 2) {
    add(chain.contacts[k], chain.contacts[k + 1]);
    add(chain.contacts[k + 1], chain.contacts[k]);
  }
  return boxes;
}

// A mark of a given side: full square, open circle, or cross; told apart without colour.
function paintMark(surface, kind, x, y, side, name) {
  const half = side / 2;
  const round = (number) => Math.round(number * 100) / 100;
  if (kind === "contact" || kind === "plain") {
    const shape = `M${round(x - half)} ${round(y - half)}h${round(side)}v${round(side)}` +
      `h${round(-side)}z`;
    const fill = kind === "plain" ? "#555555" : ARC_COLOURS.contact;
    surface.path(shape, { fill, stroke: "#FFFFFF", width: 0.6 }, name);
  } else if (kind === "apart") {
    const radius = round(Math.max(1.6, half * 1.1));
    surface.path(`M${round(x - radius)} ${round(y)}a${radius} ${radius} 0 1 1 ${2 * radius} 0` +
      `a${radius} ${radius} 0 1 1 ${-2 * radius} 0z`,
    { fill: "#FFFFFF", stroke: ARC_COLOURS.apart, width: 1.6 }, name);
  } else {
    const reach = round(Math.max(1.8, half * 0.9));
    surface.path(`M${round(x - reach)} ${round(y - reach)}l${2 * reach} ${2 * reach}` +
      `m0 ${-2 * reach}l${-2 * reach} ${2 * reach}`,
    { stroke: ARC_COLOURS.unknown, width: 1.4 }, name);
  }
}

// "CA" as structural biologists write it.
function atomName(atom) {
  return { CA: "Cα", CB: "Cβ" }[atom] ?? atom;
}
