// What the page was given: chains with their residues, and the arcs of every head.

// Arcs of a head that are drawn, in 3-D and in 2-D alike: the strongest.
const MAX_DRAWN = 300;

// Okabe and Ito's blue and vermilion, and grey: told apart by colour-blind readers.
const ARC_COLOURS = { contact: "#0072B2", apart: "#D55E00", unknown: "#7F7F7F" };

// Key of ARC_COLOURS of an arc.
function arcKind(arc) {
  return arc.contact === null ? "unknown" : arc.contact ? "contact" : "apart";
}

const ARRAY_TYPES = {
  uint8: Uint8Array, int8: Int8Array, uint16: Uint16Array, int16: Int16Array,
  uint32: Uint32Array, int32: Int32Array, float32: Float32Array, float64: Float64Array,
};

function decodeBase64(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

// {dtype, shape, data} with little-endian numbers to a typed array, flat.
function decodeArray(array) {
  const Type = ARRAY_TYPES[array.dtype];
  if (!Type) throw new Error(`array of an unknown dtype: ${array.dtype}`);
  const bytes = decodeBase64(array.data);
  return new Type(bytes.buffer, 0, bytes.length / Type.BYTES_PER_ELEMENT);
}

class ViewData {
  constructor(payload) {
    if (payload.format !== "provis_fast.view" || payload.format_version !== 1) {
      throw new Error(
        `expected data of provis_fast.view, version 1, got ${payload.format}, version ` +
        `${payload.format_version}`);
    }
    this.payload = payload;
    this.heads = payload.heads;
    this.chains = payload.chains.map((chain) => this.#decodeChain(chain));
    // Arcs of the last question: 3-D and 2-D ask the same one after another.
    this.lastArcs = { question: null, arcs: [] };
  }

  #decodeChain(chain) {
    const length = chain.sequence.length;
    const flat = decodeArray(chain.contacts);
    const contacts = new Set();
    for (let k = 0; k < flat.length; k += 2) contacts.add(flat[k] * length + flat[k + 1]);
    return {
      ...chain,
      length,
      ca: decodeArray(chain.ca),             // [3 * length], NaN where unresolved
      contacts: flat,                        // [2 * n]: i < j, positions from 0
      contactSet: contacts,                  // i * length + j
      known: decodeArray(chain.known),       // [length]: 1 where resolved
      tracks: chain.tracks.map((track) => ({ ...track, labels: decodeArray(track.labels) })),
      arcs: Object.fromEntries(
        ["starts", "query", "key", "weight"].map((name) => [name, decodeArray(chain.arcs[name])])),
    };
  }

  // "A:LYS 52A", by the author's numbering; "A:LYS [17]" where the file gives no number.
  residueName(chain, i) {
    const { id, numbers, residues } = this.chains[chain];
    return `${id}:${residues[i]} ${numbers[i] === "" ? `[${i + 1}]` : numbers[i]}`;
  }

  // [x, y, z] of a C-alpha in angstroms, or null where it is unresolved.
  position(chain, i) {
    const { ca } = this.chains[chain];
    const place = [ca[3 * i], ca[3 * i + 1], ca[3 * i + 2]];
    return place.every(Number.isFinite) ? place : null;
  }

  // Whether two residues touch; null where that is unknown or, being neighbours, not counted.
  isContact(chain, i, j) {
    const { known, contactSet, length } = this.chains[chain];
    if (!known[i] || !known[j]) return null;
    if (Math.abs(i - j) < this.payload.contact.min_separation) return null;
    return contactSet.has(Math.min(i, j) * length + Math.max(i, j));
  }

  // Arcs of the chosen head over the chosen chains, from the threshold up, strongest first.
  // Symmetric: one arc per pair, query < key, the larger of both directions, as provis draws it.
  // A residue's attention to itself has no length, and is no arc here.
  arcs(state) {
    const chains = [...state.chains].sort((a, b) => a - b);
    const question = JSON.stringify(
      [state.layer, state.head, state.threshold, state.symmetric, chains]);
    if (this.lastArcs.question === question) return this.lastArcs.arcs;
    const arcs = chains.flatMap((chain) => this.#arcsOfChain(chain, state));
    arcs.sort((a, b) => b.weight - a.weight || a.chain - b.chain || a.query - b.query ||
      a.key - b.key);
    this.lastArcs = { question, arcs };
    return arcs;
  }

  #arcsOfChain(chain, state) {
    const { starts, query, key, weight } = this.chains[chain].arcs;
    const { length } = this.chains[chain];
    const number = (state.layer - 1) * this.payload.model.n_heads + state.head - 1;
    const found = new Map();
    for (let k = starts[number]; k < starts[number + 1]; k++) {
      if (weight[k] < state.threshold) break;                 // strongest first
      if (query[k] !== key[k]) found.set(query[k] * length + key[k], weight[k]);
    }
    const arcs = [];
    for (const [pair, value] of found) {
      const i = Math.floor(pair / length);
      const j = pair % length;
      const back = found.get(j * length + i);
      if (state.symmetric && back !== undefined && (back > value || (back === value && i > j))) {
        continue;                                             // told by the other direction
      }
      arcs.push({
        chain,
        query: state.symmetric ? Math.min(i, j) : i,
        key: state.symmetric ? Math.max(i, j) : j,
        weight: value,
        contact: this.isContact(chain, i, j),
        both: back !== undefined,
      });
    }
    return arcs;
  }
}
