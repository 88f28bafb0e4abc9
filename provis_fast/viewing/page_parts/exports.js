// Files for the reader: the picture, the scene for Mol*, and the arcs as a table.

function fileStem(data, state) {
  const name = data.payload.title.replace(/[^A-Za-z0-9._-]+/g, "_") || "view";
  return `${name}_layer${state.layer}_head${state.head}`;
}

// The scene with the structure inside, as Mol* opens it (File > Open, or dropped on molstar.org).
function sceneFile(data, state, sight) {
  const bytes = new TextEncoder().encode(structureText(data));
  let binary = "";
  for (let k = 0; k < bytes.length; k += 8192) {
    binary += String.fromCharCode(...bytes.subarray(k, k + 8192));
  }
  const url = `data:text/plain;base64,${btoa(binary)}`;
  return new Blob([JSON.stringify(sceneOf(data, state, url, sight))], { type: "application/json" });
}

// A field of a CSV file. What a spreadsheet would run as a formula is text.
function csvField(value) {
  const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

// Arcs drawn, strongest first; positions from 1, residues as the author numbers them.
function arcsFile(data, state) {
  const header = [
    "layer", "head", "chain", "query_position", "query_residue", "key_position", "key_residue",
    "weight", "contact",
  ];
  const rows = data.arcs(state).slice(0, MAX_DRAWN).map((arc) => [
    state.layer, state.head, data.chains[arc.chain].id,
    arc.query + 1, data.residueName(arc.chain, arc.query),
    arc.key + 1, data.residueName(arc.chain, arc.key),
    arc.weight.toPrecision(7), arc.contact === null ? "" : arc.contact,
  ]);
  const lines = [header, ...rows].map((row) => row.map(csvField).join(",") + "\r\n");
  return new Blob(lines, { type: "text/csv" });
}
