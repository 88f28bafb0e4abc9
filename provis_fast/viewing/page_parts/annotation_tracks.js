// What is annotated of residues, in rows below a sequence: helices as waves, strands as arrows,
// turns as bows, sites as discs and diamonds. Shapes tell them apart where colour does not. Where
// there is no room for waves and arrows, helices are high boxes and strands low ones.

const TRACK_ROW = 19;                                   // pixels from one row to the next
const TRACK_GLYPH = 12;                                 // height of what is drawn in it
const FINE_SCALE = 1.1;                                 // pixels per residue that waves need
const STRUCTURE_COLOURS = { helix: "#882255", strand: "#117733", turn: "#555555" };
// Sites as in the 3-D view; others in turn.
const SITE_COLOURS = { binding_site: "#CC79A7", modification: "#E69F00" };
const TRACK_COLOURS = ["#332288", "#44AA99", "#661100", "#999933", "#AA4499", "#117733"];

// Rows for the chosen chains: {title, kind, colour, sign, byChain: Map(chain -> track)}. Tracks of
// which nothing is known have none, nor those of sites (yes or no) that nowhere are.
function trackRows(chains, chosen) {
  const rows = new Map();
  for (const index of chosen) {
    for (const track of chains[index].tracks) {
      const kind = trackKind(track);
      if (!track.labels.some((label) => label >= (kind === "sites" ? 1 : 0))) continue;
      if (!rows.has(track.name)) {
        rows.set(track.name, {
          name: track.name, kind, title: trackTitle(track), byChain: new Map(),
        });
      }
      rows.get(track.name).byChain.set(index, track);
    }
  }
  const signs = ["disc", "diamond", "bar"];
  let sites = 0;
  for (const row of rows.values()) {
    row.colour = SITE_COLOURS[row.name] ?? TRACK_COLOURS[sites % TRACK_COLOURS.length];
    row.sign = signs[sites % signs.length];
    if (row.kind === "sites") sites += 1;
  }
  return [...rows.values()];
}

// The author's structure is short of a title, as it stands beside that of the coordinates.
function trackTitle({ name }) {
  return name === "author_secondary_structure" ? "structure (author)" : name.replaceAll("_", " ");
}

// "structure" (helices and strands), "sites" (a residue is one or not) or "classes".
function trackKind({ classes }) {
  if (classes.includes("helix") && classes.includes("strand")) return "structure";
  return classes.length === 1 || (classes.length === 2 && classes[0] === "no") ? "sites" : "classes";
}

function paintTracks(surface, axis, rows, top) {
  rows.forEach((row, k) => {
    const middle = top + k * TRACK_ROW + TRACK_ROW / 2;
    surface.group(`track ${row.name}`, () => {
      for (const { index, length } of axis.blocks.values()) {
        const track = row.byChain.get(index);
        if (track) paintTrack(surface, axis, index, row, track, middle);
        else paintUnknown(surface, axis.edge(index, 0), axis.edge(index, length), middle);
      }
    });
  });
}

function paintTrack(surface, axis, index, row, track, middle) {
  for (const { first, after, value } of axis.runs(index, (i) => track.labels[i])) {
    const [x, end] = [axis.edge(index, first), axis.edge(index, after)];
    if (value < 0) {
      paintUnknown(surface, x, end, middle);
    } else if (row.kind === "structure") {
      paintStructure(surface, track.classes[value], x, end, middle, axis.scale);
    } else if (row.kind === "classes") {
      paintClass(surface, track.classes[value], value, x, end, middle);
    } else {
      surface.path(`M${x} ${middle}H${end}`, { stroke: "#CCCCCC" });
      if (value > 0) paintSites(surface, row, first, after, x, axis.scale, middle);
    }
  }
}

function paintUnknown(surface, x, end, middle) {
  surface.path(`M${x} ${middle}H${end}`, { stroke: "#BBBBBB", dash: [1.5, 2.5] });
}

function paintStructure(surface, name, x, end, middle, scale) {
  const half = TRACK_GLYPH / 2;
  const colour = STRUCTURE_COLOURS[name];
  if (scale < FINE_SCALE && colour && name !== "turn") {
    const high = name === "helix" ? half : half / 2;
    surface.boxes([x, middle - high, Math.max(end - x, 0.8), 2 * high], colour);
  } else if (name === "helix") {
    surface.path(waveShape(x, end, middle, half - 1, Math.max(6, 3.6 * scale)),
      { stroke: colour, width: 2, cap: "round" });
  } else if (name === "strand") {
    const head = Math.min(end - x, Math.max(5, 1.5 * scale));
    surface.path(`M${x} ${middle - half / 2}H${end - head}V${middle - half}L${end} ${middle}` +
      `L${end - head} ${middle + half}V${middle + half / 2}H${x}Z`, { fill: colour });
  } else if (name === "turn" && scale >= FINE_SCALE) {
    surface.path(`M${x} ${middle}Q${(x + end) / 2} ${middle - 2 * half} ${end} ${middle}`,
      { stroke: colour, width: 1.5 });
  } else {
    surface.path(`M${x} ${middle}H${end}`, { stroke: "#999999" });
  }
}

// A wave of whole periods from x to end; a full block where it has no room for one.
function waveShape(x, end, middle, height, period) {
  const waves = Math.max(1, Math.round((end - x) / period));
  const quarter = (end - x) / (4 * waves);
  let shape = `M${x} ${middle}`;
  for (let wave = 0; wave < waves; wave++) {
    const start = x + 4 * quarter * wave;
    shape += `Q${start + quarter} ${middle - 2 * height} ${start + 2 * quarter} ${middle}` +
      `Q${start + 3 * quarter} ${middle + 2 * height} ${start + 4 * quarter} ${middle}`;
  }
  return shape;
}

function paintSites(surface, row, first, after, x, scale, middle) {
  if (scale < 2.5) {                                    // signs would run into each other
    const half = TRACK_GLYPH / 2 - 1;
    surface.boxes([x, middle - half, Math.max(1.2, (after - first) * scale), 2 * half], row.colour);
    return;
  }
  const size = Math.min(5, Math.max(2.2, scale / 2));
  for (let i = first; i < after; i++) {
    const centre = x + (i - first + 0.5) * scale;
    surface.path(siteShape(row.sign, centre, middle, size), { fill: row.colour });
  }
}

function siteShape(sign, x, y, size) {
  if (sign === "disc") {
    return `M${x - size} ${y}A${size} ${size} 0 1 1 ${x + size} ${y}` +
      `A${size} ${size} 0 1 1 ${x - size} ${y}Z`;
  }
  if (sign === "diamond") {
    const wide = size * 1.2;
    return `M${x - wide} ${y}L${x} ${y - wide}L${x + wide} ${y}L${x} ${y + wide}Z`;
  }
  const half = size * 0.6;
  return `M${x - half} ${y - 5}H${x + half}V${y + 5}H${x - half}Z`;
}

// A box for a run of one of several classes, with its name where that fits.
function paintClass(surface, name, value, x, end, middle) {
  const half = TRACK_GLYPH / 2;
  surface.path(`M${x} ${middle - half}H${end}V${middle + half}H${x}Z`,
    { fill: TRACK_COLOURS[value % TRACK_COLOURS.length], opacity: 0.75 });
  if (end - x > textWidth(name, 9) + 4) {
    surface.text((x + end) / 2, middle + 3, name, { size: 9, anchor: "middle", fill: "#FFFFFF" });
  }
}

// Signs that a reader needs explained: those of the secondary structure.
function structureLegend(rows, scale) {
  const present = new Set(rows.filter(({ kind }) => kind === "structure")
    .flatMap(({ byChain }) => [...byChain.values()])
    .flatMap(({ classes, labels }) => [...new Set(labels)].map((label) => classes[label])));
  const fine = scale >= FINE_SCALE;
  return Object.keys(STRUCTURE_COLOURS)
    .filter((name) => present.has(name) && (fine || name !== "turn"))
    .map((name) => ({
      width: 20, words: name,
      draw: (surface, x, y) => paintStructure(surface, name, x, x + 20, y, fine ? 2 : 0),
    }));
}
