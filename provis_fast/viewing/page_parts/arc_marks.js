// How arcs look in two dimensions, and what is said of them; colours are those of the 3-D view.
// In grey, arcs between residues in contact are solid, others dashed, unknown ones dotted.

const ARC_MARKS = {
  contact: { words: "in contact", dash: undefined, layer: 2 },
  apart: { words: "not in contact", dash: [6, 4], layer: 1 },
  unknown: { words: "not counted", dash: [1.5, 3], layer: 0 },
};

// The arcs that are drawn: weaker ones first, so that the strongest lie on top.
function arcsOnPaper(data, state) {
  const found = data.arcs(state);
  const drawn = found.slice(0, MAX_DRAWN);
  return { drawn, painted: [...drawn].reverse(), total: found.length };
}

// Width of the line of an arc, in pixels.
function arcLineWidth(weight) {
  return 0.8 + 2.6 * weight;
}

function arcOpacity(weight) {
  return Math.min(1, 0.55 + 0.5 * weight);
}

// Names of models may be folders, of which the last part says enough in a figure.
function modelName(data) {
  return data.payload.model.name.split(/[\\/]/).filter(Boolean).pop() ?? "";
}

function chosenHead(state) {
  return `${state.layer}-${state.head}`;
}

// "A:LYS 52A → A:GLU 60", or with a dash where direction does not count.
function pairName(data, state, { chain, query, key }) {
  const sign = state.symmetric ? "–" : "→";
  return `${data.residueName(chain, query)} ${sign} ${data.residueName(chain, key)}`;
}

function arcSentence(data, state, arc) {
  const both = state.symmetric && arc.both ? " (the larger of both directions)" : "";
  const words = ARC_MARKS[arcKind(arc)].words;
  return `${pairName(data, state, arc)}: weight ${arc.weight.toFixed(3)}${both}, ${words}`;
}

// What a legend says of a kind of arcs.
function kindLegend(data, kind) {
  const apart = data.payload.contact.min_separation;
  const why = kind === "unknown" ? `: unresolved, or fewer than ${apart} apart` : "";
  return `arc, ${ARC_MARKS[kind].words}${why}`;
}

// What a hovered residue or pair is, with its arc if it has one.
function targetSentence(data, state, target, arcs) {
  if (!target) return "";
  if (target.residue !== undefined) {
    const own = arcs.filter((arc) => arc.chain === target.chain &&
      (arc.query === target.residue || arc.key === target.residue));
    const name = data.residueName(target.chain, target.residue);
    const resolved = data.chains[target.chain].known[target.residue] ? "" : ", unresolved";
    return `${name}${resolved}: ${counted(own.length, "arc")}`;
  }
  const arc = arcOfPair(arcs, state, target);
  if (arc) return arcSentence(data, state, arc);
  const contact = data.isContact(target.chain, target.query, target.key);
  const kind = ARC_MARKS[contact === null ? "unknown" : contact ? "contact" : "apart"].words;
  return `${pairName(data, state, target)}: no arc drawn, ${kind}`;
}

// The drawn arc of a hovered pair; undefined if there is none.
function arcOfPair(arcs, state, { chain, query, key }) {
  return arcs.find((arc) => arc.chain === chain &&
    ((arc.query === query && arc.key === key) ||
      (state.symmetric && arc.query === key && arc.key === query)));
}

function counted(number, noun) {
  return `${countText(number)} ${noun}${number === 1 ? "" : "s"}`;
}

// "Head 12-4: 57 arcs of weight 0.1 or more, 20 in contact, 30 not in contact, 7 unknown."
function arcsSummary(state, { drawn, total }) {
  const numbers = { contact: 0, apart: 0, unknown: 0 };
  for (const arc of drawn) numbers[arcKind(arc)] += 1;
  const parts = Object.entries(ARC_MARKS)
    .filter(([kind]) => numbers[kind] > 0)
    .map(([kind, { words }]) => `${numbers[kind]} ${words}`);
  const found = `Head ${chosenHead(state)}: ${counted(total, "arc")} of weight ` +
    `${String(+state.threshold.toFixed(3))} or more`;
  const left = total - drawn.length;
  const most = left > 0
    ? `, of which the ${drawn.length} strongest are drawn and ${countText(left)} are not` : "";
  return `${found}${most}${parts.length ? `. Drawn: ${parts.join(", ")}` : ""}.`;
}

// A row of signs with words, in as many lines as the width takes.
// items: {width, words, draw(surface, x, y)}, where y is the middle; gives the height.
function paintLegend(surface, items, left, top, width, size = 11) {
  let x = left;
  let y = top;
  const line = size + 7;
  for (const item of items) {
    const words = fittingWords(item.words, width - item.width - 5, size);
    const needed = item.width + 5 + textWidth(words, size);
    if (x > left && x + needed > left + width) {
      x = left;
      y += line;
    }
    if (surface) {
      item.draw(surface, x, y + line / 2);
      surface.text(x + item.width + 5, y + line / 2 + size * 0.35, words, { size });
    }
    x += needed + 16;
  }
  return y + line - top;
}

// Numbers of residues in place of the ticks there: {x, y, residue, anchor}.
function paintFlags(surface, numbers, flags) {
  const boxes = flags.map(({ x, y, residue, anchor }) => {
    const words = flagWords(numbers, residue);
    const width = textWidth(words, 11, "bold") + 6;
    return { x, y, words, anchor, width, left: anchor === "end" ? x - width + 3 : x - width / 2 };
  });
  // Ticks that would look out from behind go first.
  for (const { left, y, width, anchor } of boxes) {
    surface.boxes(anchor === "end" ? [left - 6, y - 19, width + 6, 31]
      : [left - 12, y - 12, width + 24, 17], "#FFFFFF");
  }
  for (const { x, y, words, anchor, width, left } of boxes) {
    surface.boxes([left, y - 11, width, 15], "#111111");
    surface.text(x, y, words, { anchor, weight: "bold", fill: "#FFFFFF" });
  }
}

function flagWords(numbers, residue) {
  return numbers[residue] || `[${residue + 1}]`;
}
