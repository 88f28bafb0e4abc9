// The scene as MolViewSpec: nodes that Mol* draws, here and wherever the exported file is opened.

const MVS_VERSION = "1";
const SCENE_COLOURS = {
  // Chains of the view, calm against the arcs; others are fainter still.
  chains: ["#C9D3DC", "#DCD2C3", "#CADCCB", "#D8CADC", "#DCDAC3", "#C3DCD9"],
  other: "#E4E4E4",
  binding_site: "#CC79A7",
  site_record: "#56B4E9",
  modification: "#E69F00",
  ligand: "#8C6D46",
};
const ELEMENT_COLOURS = { N: "#3050F8", O: "#E03030", S: "#D9B300", P: "#FF8000" };
// Tracks of which residues are shown as sticks; those named first prevail in the cartoon's colour.
const SCENE_TRACKS = {
  modification: "Modified residue",
  binding_site: "Binding site",
  site_record: "Site named by the file",
};
// Opacity of chains that are in the view, but not chosen, and of those that are not in it.
const FAINT = 0.35;

function mvsNode(kind, params, children = [], ref = undefined) {
  const made = { kind, params };
  if (children.length > 0) made.children = children;
  if (ref !== undefined) made.ref = ref;
  return made;
}

// The mmCIF text for Mol*. Types of components that are all unknown ("."; gemmi writes such a list)
// go: Mol* believes them and draws no cartoon, where without a list it knows residues by name.
function structureText(data) {
  const text = data.payload.structure.data;
  const list = /^loop_\n_chem_comp\.id\n_chem_comp\.type\n((?:\S+ +\.\n)+)/m;
  return text.replace(list, "");
}

// label_asym_id of the polymers in an mmCIF file, in its order.
function polymersOf(mmcif) {
  const lines = mmcif.split("\n");
  const first = lines.findIndex((line) => line.startsWith("_atom_site."));
  const polymers = new Set();
  if (first < 0) return polymers;
  let row = first;
  const columns = {};
  for (; lines[row].startsWith("_atom_site."); row++) columns[lines[row].trim()] = row - first;
  const asym = columns["_atom_site.label_asym_id"];
  const seq = columns["_atom_site.label_seq_id"];
  for (; row < lines.length && /^(ATOM|HETATM)\b/.test(lines[row]); row++) {
    const fields = lines[row].match(/'(?:[^']|'(?=\S))*'|"(?:[^"]|"(?=\S))*"|\S+/g);
    if (/^\d+$/.test(fields[seq])) polymers.add(fields[asym].replace(/^(['"])(.*)\1$/, "$2"));
  }
  return polymers;
}

// Residues of a chain of which a track says yes, as selectors.
function labelledResidues(chain, name) {
  const track = chain.tracks.find((one) => one.name === name);
  if (!track) return [];
  return [...chain.label_seq.keys()]
    .filter((i) => track.labels[i] > 0 && chain.known[i])
    .map((i) => ({ label_asym_id: chain.label_asym, label_seq_id: chain.label_seq[i] }));
}

function sticks(selector, carbon, size, ref) {
  const colours = Object.entries(ELEMENT_COLOURS).map(([symbol, color]) =>
    mvsNode("color", { color, selector: { type_symbol: symbol } }));
  return mvsNode("component", { selector }, [
    mvsNode("representation", { type: "ball_and_stick", size_factor: size }, [
      mvsNode("color", { color: carbon }), ...colours]),
  ], ref);
}

function cartoon(selector, color, opacity, marked, ref) {
  const colours = marked.filter(([, residues]) => residues.length > 0).map(([colour, residues]) =>
    mvsNode("color", { color: colour, selector: residues }));
  return mvsNode("component", { selector }, [
    mvsNode("representation", { type: "cartoon" }, [
      mvsNode("color", { color }), ...colours, mvsNode("opacity", { opacity }),
    ], ref),
  ]);
}

function structureNodes(data, state) {
  const { chains } = data;
  const ours = new Set(chains.map((chain) => chain.label_asym));
  const others = [...polymersOf(data.payload.structure.data)].filter((asym) => !ours.has(asym));
  const nodes = chains.map((chain, c) => cartoon(
    [{ label_asym_id: chain.label_asym }],
    SCENE_COLOURS.chains[c % SCENE_COLOURS.chains.length],
    state.chains.has(c) ? 1 : FAINT,
    Object.keys(SCENE_TRACKS).reverse().map((name) =>
      [SCENE_COLOURS[name], labelledResidues(chain, name)]),
    `chain-${c}`));
  if (others.length > 0) {
    const selector = others.map((asym) => ({ label_asym_id: asym }));
    nodes.push(cartoon(selector, SCENE_COLOURS.other, FAINT, [], "others"));
  }
  const taken = new Set();
  for (const name of Object.keys(SCENE_TRACKS)) {
    const residues = chains.flatMap((chain) => labelledResidues(chain, name))
      .filter((one) => !taken.has(`${one.label_asym_id}:${one.label_seq_id}`));
    for (const one of residues) taken.add(`${one.label_asym_id}:${one.label_seq_id}`);
    if (residues.length > 0) nodes.push(sticks(residues, SCENE_COLOURS[name], 0.8));
  }
  nodes.push(...["ligand", "branched", "ion"].map((kind) =>
    sticks(kind, SCENE_COLOURS.ligand, 1)));
  return nodes;
}

// "A:LYS 52A – A:GLU 60, 0.43", with an arrow where it is directed.
function arcText(data, arc, symmetric) {
  const joint = symmetric ? "–" : "→";
  const kinds = { contact: "in contact", apart: "not in contact", unknown: "not counted" };
  return `${data.residueName(arc.chain, arc.query)} ${joint} ` +
    `${data.residueName(arc.chain, arc.key)}, weight ${arc.weight.toFixed(3)}, ` +
    kinds[arcKind(arc)];
}

// Width of tubes: by weight; thicker in large structures, which are seen from farther away.
function arcRadius(weight, radius) {
  return (0.08 + 0.4 * weight) * Math.max(1, Math.sqrt(radius / 25));
}

// Arcs between C-alphas as tubes, arrows from query to key where they are directed. All
// parameters are given, for Mol* fills defaults in only when it loads a whole scene.
function arcNodes(data, arcs, symmetric, radius) {
  return arcs.map((arc) => {
    const ends = { start: data.position(arc.chain, arc.query), end: data.position(arc.chain, arc.key) };
    if (!ends.start || !ends.end) return null;
    const thick = arcRadius(arc.weight, radius);
    const shared = {
      ...ends,
      color: ARC_COLOURS[arcKind(arc)],
      tooltip: escapeHtml(arcText(data, arc, symmetric)),
    };
    if (symmetric) {
      return mvsNode("primitive", { kind: "tube", ...shared, radius: thick, dash_length: null });
    }
    return mvsNode("primitive", {
      kind: "arrow", ...shared, direction: null, length: null,
      show_start_cap: false, start_cap_length: 0.1, start_cap_radius: 0.1,
      show_end_cap: true, end_cap_length: 1 + 5 * thick, end_cap_radius: 0.3 + 2.2 * thick,
      show_tube: true, tube_radius: 0.8 * thick, tube_dash_length: null,
    });
  }).filter(Boolean);
}

// Rings of light around what the pointer is on in a diagram.
function markerNodes(data, target, radius) {
  if (target === null) return [];
  const residues = target.residue === undefined ? [target.query, target.key] : [target.residue];
  return residues.map((i) => data.position(target.chain, i)).filter(Boolean).map((center) =>
    mvsNode("primitive", {
      kind: "ellipsoid", color: "#F0E442", center,
      major_axis: null, minor_axis: null, major_axis_endpoint: null, minor_axis_endpoint: null,
      radius: arcRadius(3, radius), radius_extent: null, tooltip: null,
    }));
}

function primitivesNode(children, opacity, ref) {
  return {
    kind: "primitives",
    params: {
      color: "#7F7F7F", label_color: "#000000", tooltip: null, opacity, label_opacity: 1,
      instances: null,
    },
    children,
    ref,
  };
}

function arcsNode(data, state, radius) {
  const drawn = data.arcs(state).slice(0, MAX_DRAWN);
  return primitivesNode(arcNodes(data, drawn, state.symmetric, radius), 1, "arcs");
}

function markerNode(data, target, radius) {
  return primitivesNode(markerNodes(data, target, radius), 0.6, "marker");
}

// The whole scene. `url` is where the structure is: an address inside the page, or the data itself.
function sceneOf(data, state, url, sight) {
  return {
    metadata: {
      version: MVS_VERSION,
      title: data.payload.title,
      timestamp: new Date().toISOString(),
    },
    root: mvsNode("root", {}, [
      mvsNode("canvas", { background_color: "#FFFFFF" }),
      mvsNode("camera", { target: sight.target, position: sight.position, up: sight.up }),
      mvsNode("download", { url }, [
        mvsNode("parse", { format: "mmcif" }, [
          mvsNode("structure", { type: "model" }, structureNodes(data, state)),
        ]),
      ]),
      arcsNode(data, state, sight.radius),
      markerNode(data, null, sight.radius),
    ]),
  };
}
