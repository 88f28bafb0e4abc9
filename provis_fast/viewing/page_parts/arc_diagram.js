// The sequence along a line, its annotation below, and the arcs of the chosen head over it.
// Directed: above the line from a query to a later key, below it from a query to an earlier one.

const SEQUENCE_BAND = 13;                               // height of the sequence itself
const LETTER_SCALE = 8.5;                               // pixels per residue that fit a letter
const NEEDLE = 3;                                       // an arc is at most so much taller than wide

class ArcDiagram extends Companion {
  constructor(place, data, state) {
    super(place, data, state, {
      title: "Arc diagram", file: "arc_diagram", role: "arc diagram along the sequence",
      hint: "Left and right move along the sequence (with Shift by ten), page down and up go through the " +
        "arcs, strongest first; plus, minus and 0, or the wheel after a click, zoom; drag to " +
        "move; a click holds an arc, Escape lets go.",
    });
  }

  get figureSize() {
    return { units: 720, millimetres: 180 };
  }

  layout(width, saved) {
    const rows = trackRows(this.data.chains, this.chosenChains);
    const left = Math.min(width * 0.3,
      Math.max(24, 14 + Math.max(0, ...rows.map(({ title }) => textWidth(title)))));
    const lines = saved ? this.headingLines(width - left - 14) : [];
    const plot = { x: left, width: Math.max(60, width - left - 14) };
    const axis = this.axis.placed(plot.x, plot.x + plot.width);
    if (!saved) this.axis = axis;
    const spans = this.#spans(axis, plot);
    const above = this.#room(spans.filter((span) => span.up), plot);
    const under = this.state.symmetric ? 0 : this.#room(spans.filter((span) => !span.up), plot);
    const several = this.state.chains.size > 1;
    const top = saved ? 26 + 13 * lines.length : 0;
    const base = top + (this.state.symmetric ? 10 : 18) + above;
    const ticks = base + SEQUENCE_BAND + 4;
    const tracks = ticks + (several ? 32 : 18);
    const below = tracks + rows.length * TRACK_ROW + 3;
    const end = this.state.symmetric ? below : below + under + 18;
    const layout = {
      width, plot, axis, rows, several, base, ticks, tracks, below, end, top,
      heading: lines, above, under,
      legend: { x: plot.x, y: end + 4, width: plot.width },
    };
    layout.shapes = this.#arcShapes(spans, layout);
    layout.items = this.#legendItems(layout);
    layout.height = end + 8 +
      paintLegend(null, layout.items, plot.x, layout.legend.y, plot.width);
    return layout;
  }

  // Height for arcs: as much as the widest in sight can use without being a needle.
  #room(spans, plot) {
    if (spans.length === 0) return 16;
    const most = Math.min(Math.max(plot.width * 0.3, 110), 260);
    const widest = Math.max(...spans.map(({ wide }) => wide));
    return Math.round(Math.min(most, Math.max(70, NEEDLE * widest)));
  }

  // Arcs in sight, from where to where: {arc, x, end, middle, wide, up}.
  #spans(axis, plot) {
    return this.arcs.painted.map((arc) => {
      const [first, last] = [Math.min(arc.query, arc.key), Math.max(arc.query, arc.key)];
      const [x, end] = [axis.at(arc.chain, first), axis.at(arc.chain, last)];
      const up = this.state.symmetric || arc.query < arc.key;
      return { arc, x, end, middle: (x + end) / 2, wide: (end - x) / 2, up };
    }).filter(({ x, end }) => end >= plot.x && x <= plot.x + plot.width);
  }

  // Half an ellipse for every arc: a span with {tall, base}. The widest that is wholly in sight
  // takes the height there is; shorter ones are less flat, so that they are seen beside it.
  #arcShapes(spans, { plot, base, below, above, under }) {
    const inSight = spans.filter(({ x, end }) => x >= plot.x && end <= plot.x + plot.width);
    for (const up of [true, false]) {
      const some = [inSight, spans].map((each) => each.filter((span) => span.up === up))
        .find((each) => each.length > 0) ?? [];
      const widest = Math.max(1, ...some.map(({ wide }) => wide));
      for (const span of spans.filter((each) => each.up === up)) {
        span.base = up ? base : below;
        span.tall = (up ? above : under) * Math.min(1, span.wide / widest) ** 0.65;
      }
    }
    return spans;
  }

  paintPaper(surface, layout) {
    const { plot, axis, rows, base, tracks, below, legend, several } = layout;
    const right = plot.x + plot.width;
    surface.clipped(plot.x - 1, layout.top, plot.width + 2, layout.height - layout.top, () => {
      for (const index of axis.blocks.keys()) this.#paintSequence(surface, layout, index);
      paintTracks(surface, axis, rows, tracks);
    });
    rows.forEach(({ title }, k) => surface.text(plot.x - 8, tracks + (k + 0.5) * TRACK_ROW + 4,
      fittingWords(title, plot.x - 12), { anchor: "end" }));
    for (const { pixel, label } of axis.ticks(42)) {
      surface.path(`M${pixel} ${base + SEQUENCE_BAND}v4`, { stroke: "#444444" });
      surface.text(pixel, layout.ticks + 11, label, { anchor: "middle" });
    }
    if (several) this.#paintChainNames(surface, layout);
    if (!this.state.symmetric) {
      const note = { size: 10, fill: "#444444" };
      surface.text(plot.x, layout.top + 10, "query → key further on", note);
      surface.path(`M${plot.x} ${below}H${right}`, { stroke: "#BBBBBB", width: 0.7 });
      surface.text(plot.x, layout.end - 2, "key further back ← query", note);
    }
    paintLegend(surface, layout.items, legend.x, legend.y, legend.width);
  }

  #paintSequence(surface, { axis, base }, index) {
    const { chain } = axis.blocks.get(index);
    const middle = base + SEQUENCE_BAND / 2;
    for (const { first, after, value } of axis.runs(index, (i) => chain.known[i])) {
      const [x, end] = [axis.edge(index, first), axis.edge(index, after)];
      if (value) surface.boxes([x, base, end - x, SEQUENCE_BAND], "#D9DDE2");
      else surface.path(`M${x} ${middle}H${end}`, { stroke: "#777777", dash: [2, 2] });
    }
    if (axis.scale < LETTER_SCALE) return;
    const [first, after] = axis.inSight(index);
    for (let i = first; i < after; i++) {
      surface.text(axis.at(index, i), base + SEQUENCE_BAND - 3, chain.sequence[i],
        { anchor: "middle", size: 10, fill: chain.known[i] ? "#111111" : "#777777" });
    }
  }

  #paintChainNames(surface, { axis, ticks, plot }) {
    for (const { index, chain } of axis.blocks.values()) {
      const [from, to] = axis.inSight(index);
      if (to <= from) continue;
      const [x, end] = [axis.edge(index, from), axis.edge(index, to)]
        .map((pixel) => Math.min(Math.max(pixel, plot.x), plot.x + plot.width));
      const words = [`chain ${chain.id}`, chain.id].find((each) => textWidth(each) < end - x);
      if (words) {
        surface.text((x + end) / 2, ticks + 25, words, { anchor: "middle", weight: "bold" });
      }
    }
  }

  paintArcs(surface, layout) {
    const { plot } = layout;
    surface.clipped(plot.x - 2, layout.top, plot.width + 4, layout.height - layout.top, () => {
      const layered = [...layout.shapes].sort((a, b) =>
        ARC_MARKS[arcKind(a.arc)].layer - ARC_MARKS[arcKind(b.arc)].layer);
      for (const shape of layered) {
        const kind = arcKind(shape.arc);
        const { weight } = shape.arc;
        surface.path(halfEllipse(shape), {
          stroke: ARC_COLOURS[kind], width: arcLineWidth(weight), dash: ARC_MARKS[kind].dash,
          opacity: arcOpacity(weight),
        }, surface instanceof SvgSurface ? arcSentence(this.data, this.state, shape.arc) : undefined);
      }
    });
  }

  paintTarget(surface, layout, target) {
    const { plot, axis, base, below, rows } = layout;
    const pair = target.residue === undefined;
    const residues = pair
      ? [Math.min(target.query, target.key), Math.max(target.query, target.key)]
      : [target.residue];
    const chosen = pair ? arcOfPair(this.arcs.drawn, this.state, target) : null;
    surface.clipped(plot.x - 2, layout.top, plot.width + 4, layout.height - layout.top, () => {
      for (const shape of layout.shapes) {
        const { arc } = shape;
        const own = pair ? arc === chosen : arc.chain === target.chain &&
          (arc.query === target.residue || arc.key === target.residue);
        if (!own) continue;
        const width = arcLineWidth(arc.weight);
        surface.path(halfEllipse(shape), { stroke: "#FFFFFF", width: width + 5 });
        surface.path(halfEllipse(shape), { stroke: "#111111", width: width + 2.4 });
        surface.path(halfEllipse(shape), { stroke: ARC_COLOURS[arcKind(arc)], width });
      }
      for (const residue of residues) {
        const x = axis.at(target.chain, residue);
        surface.path(`M${x} ${base}V${below - (rows.length ? 4 : 0)}`, { stroke: "#111111" });
      }
    });
    this.#paintFlags(surface, layout, target.chain, residues);
  }

  // Numbers of the residues pointed at; those of neighbours make room for each other.
  #paintFlags(surface, { axis, ticks, plot }, chain, residues) {
    const { numbers } = this.data.chains[chain];
    const pixels = residues.map((residue) => axis.at(chain, residue));
    if (pixels.length === 2) {
      const widths = residues.map((each) => textWidth(flagWords(numbers, each), 11, "bold") + 8);
      const lack = Math.max(0, (widths[0] + widths[1]) / 2 - (pixels[1] - pixels[0]));
      pixels[0] -= lack / 2;
      pixels[1] += lack / 2;
    }
    const flags = residues.map((residue, k) =>
      ({ x: pixels[k], y: ticks + 11, residue, anchor: "middle" }));
    paintFlags(surface, numbers, flags.filter(({ x }) =>
      x >= plot.x - 20 && x <= plot.x + plot.width + 20));
  }

  // The nearest arc within a few pixels; on the sequence and its annotation, the residue.
  hit(x, y) {
    const { plot, axis, base, below, shapes } = this.drawn;
    if (x < plot.x - 4 || x > plot.x + plot.width + 4) return null;
    if (y >= base && y <= below) return axis.residueAt(x);
    let [best, nearest] = [null, 7];
    for (const shape of shapes) {
      const away = distanceToArc(shape, x, y);
      // Of arcs as near as each other the last one painted is on top.
      if (away <= nearest) [best, nearest] = [shape.arc, away];
    }
    return best && { chain: best.chain, query: best.query, key: best.key };
  }

  // There is no up and down on a line: those keys go through the arcs.
  moveCursor(right, down) {
    const now = this.hovered();
    const [first] = this.chosenChains;
    if (first === undefined) return;
    if (right === 0) {
      this.stepArc(Math.sign(down));
      return;
    }
    let target = { chain: first, residue: 0 };
    if (now) {
      const from = now.residue ?? (right > 0 ? Math.max(now.query, now.key)
        : Math.min(now.query, now.key));
      target = this.#along(now.chain, from + right);
    }
    this.pinned = true;
    this.reveal(target);
    this.point(target, true);
  }

  // A residue of a chain, or where that ends, of the chain beside it.
  #along(chain, residue) {
    const chains = this.chosenChains;
    const place = chains.indexOf(chain);
    const { length } = this.data.chains[chain];
    if (residue < 0 && place > 0) {
      const before = chains[place - 1];
      return { chain: before, residue: this.data.chains[before].length - 1 };
    }
    if (residue >= length && place < chains.length - 1) {
      return { chain: chains[place + 1], residue: 0 };
    }
    return { chain, residue: Math.min(Math.max(0, residue), length - 1) };
  }

  reveal(target) {
    if (this.axis.whole) return;
    if (target.residue === undefined) this.axis.reveal(target.chain, target.key);
    this.axis.reveal(target.chain, target.residue ?? target.query);
    this.redraw();
  }

  zoom(factor, x) {
    const { plot } = this.drawn;
    const pixel = Math.min(Math.max(x ?? plot.x + plot.width / 2, plot.x), plot.x + plot.width);
    this.axis.zoom(factor, pixel);
    this.redraw();
  }

  pan(right) {
    this.axis.move(right);
  }

  describe() {
    const chains = this.chosenChains.map((index) => {
      const chain = this.data.chains[index];
      const contacts = chain.contacts.length / 2;
      return `chain ${chain.id}, ${counted(chain.length, "residue")}, ` +
        counted(contacts, "contact");
    });
    const tracks = trackRows(this.data.chains, this.chosenChains).map(({ title }) => title);
    const annotated = tracks.length ? ` Annotated below: ${tracks.join(", ")}.` : "";
    return `${chains.join("; ") || "No chain"}.${annotated}`;
  }

  #legendItems({ axis, rows }) {
    const kinds = new Set(this.arcs.drawn.map(arcKind));
    const line = (style) => (surface, x, y) => surface.path(`M${x} ${y}h26`, style);
    const items = Object.entries(ARC_MARKS).filter(([kind]) => kinds.has(kind))
      .map(([kind, { dash }]) => ({
        width: 26, words: kindLegend(this.data, kind),
        draw: line({ stroke: ARC_COLOURS[kind], dash, width: 2.2 }),
      }));
    if (kinds.size) {
      const weights = [0.1, 0.5, 1];
      items.push({
        width: 62, words: `weight ${weights.join(", ")}`,
        draw: (surface, x, y) => weights.forEach((weight, k) => surface.path(
          `M${x + 22 * k} ${y}h18`,
          { stroke: "#444444", width: arcLineWidth(weight), opacity: arcOpacity(weight) })),
      });
    }
    const blocks = [...axis.blocks.values()];
    if (blocks.some(({ chain }) => chain.known.some((known) => !known))) {
      items.push({
        width: 26, words: "unresolved", draw: line({ stroke: "#777777", dash: [2, 2] }),
      });
    }
    return [...items, ...structureLegend(rows, axis.scale)];
  }
}

// Path of half an ellipse over, or under, its base.
function halfEllipse({ x, end, wide, tall, base, up }) {
  const round = (number) => Math.round(number * 100) / 100;
  return `M${round(x)} ${round(base)}A${round(Math.max(0.5, wide))} ${round(Math.max(0.5, tall))} ` +
    `0 0 ${up ? 1 : 0} ${round(end)} ${round(base)}`;
}

// About how many pixels a point is from a half ellipse: f / |grad f|, exact near the line.
function distanceToArc({ middle, wide, tall, base, up }, x, y) {
  const height = up ? base - y : y - base;
  if (height < 0 || wide < 0.25) return Infinity;
  const [across, along] = [(x - middle) / wide, height / tall];
  const value = across * across + along * along - 1;
  const slope = 2 * Math.hypot(across / wide, along / tall);
  return slope === 0 ? tall : Math.abs(value) / slope;
}
