// The 3-D part: keeps Mol* in step with what is chosen, and the page with the pointer.

class Scene {
  constructor(element, data, state) {
    this.element = element;
    this.data = data;
    this.state = state;
    this.sight = firstSight(data, element.clientWidth / Math.max(1, element.clientHeight) || 1);
    this.viewer = null;
    this.pending = new Set();       // what changed since the last update of the viewer
    this.running = null;
  }

  // Start Mol*; done when the first picture is drawn.
  async start() {
    const canvas = document.createElement("canvas");
    if (!canvas.getContext("webgl2") && !canvas.getContext("webgl")) {
      throw new Error(
        "this browser draws no 3-D graphics (WebGL is missing or switched off): the diagrams and " +
        "tables below need none; allow WebGL or hardware acceleration in its settings");
    }
    const [module, css] = await Promise.all([importPart("molstar-module"), unpackText("molstar-css")]);
    document.head.prepend(element("style", {}, css));
    const structure = new Blob([structureText(this.data)], { type: "text/plain" });
    this.address = URL.createObjectURL(structure);
    const scene = sceneOf(this.data, this.state, this.address, this.sight);
    this.viewer = new MolstarViewer(module, this.element, scene);
    this.state.addEventListener("change", () => this.#later("arcs"));
    this.state.addEventListener("hover", () => { if (!this.pointing) this.#later("marker"); });
    await this.viewer.ready;
    this.viewer.onHover((thing) => this.#point(thing));
  }

  // One update at a time: choices made meanwhile are drawn together, after it.
  #later(part) {
    this.pending.add(part);
    this.running ??= this.#update().finally(() => { this.running = null; });
  }

  async #update() {
    await this.viewer.ready;
    while (this.pending.size > 0) {
      const parts = [...this.pending];
      this.pending.clear();
      const nodes = [];
      const opacities = {};
      if (parts.includes("arcs")) {
        nodes.push(arcsNode(this.data, this.state, this.sight.radius));
        for (const c of this.data.chains.keys()) {
          opacities[`chain-${c}`] = this.state.chains.has(c) ? 1 : FAINT;
        }
      }
      if (parts.includes("marker")) {
        nodes.push(markerNode(this.data, this.state.hovered, this.sight.radius));
      }
      const onDrawn = () => this.element.dispatchEvent(new CustomEvent("drawn", { detail: parts }));
      if (!await this.viewer.update(nodes, opacities, onDrawn) && parts.includes("arcs")) {
        this.viewer.replace(sceneOf(this.data, this.state, this.address, this.sight));
      }
    }
  }

  // The pointer is on a thing of the scene: name it, and tell the diagrams.
  #point(thing) {
    this.pointing = true;
    if (thing?.primitive) {
      const arc = this.#arcOf(thing.primitive);
      this.state.hover(arc && { chain: arc.chain, query: arc.query, key: arc.key });
    } else {
      this.state.hover(thing && this.#residueOf(thing));
    }
    this.pointing = false;
    const inside = this.state.hovered === null && thing?.text;
    if (inside) this.element.dispatchEvent(new CustomEvent("named", { detail: thing.text }));
  }

  #arcOf(node) {
    const { start, end } = node.params;
    return this.data.arcs(this.state).slice(0, MAX_DRAWN).find((arc) =>
      String(this.data.position(arc.chain, arc.query)) === String(start) &&
      String(this.data.position(arc.chain, arc.key)) === String(end)) ?? null;
  }

  #residueOf({ asym, seq }) {
    const chain = this.data.chains.findIndex((one) => one.label_asym === asym);
    const residue = chain < 0 ? -1 : this.data.chains[chain].label_seq.indexOf(seq);
    return residue < 0 ? null : { chain, residue };
  }
}

// Class of a residue in words; nothing where it is unknown, or the absence of something.
function trackText(track, label) {
  if (label < 0) return "";
  if (track.classes.length > 2) return track.classes[label];
  return label > 0 ? track.name.replaceAll("_", " ") : "";
}

// What the pointer is on, in words.
function hoverText(data, state) {
  const target = state.hovered;
  if (target === null) return "";
  if (target.residue !== undefined) {
    const tracks = data.chains[target.chain].tracks
      .map((track) => trackText(track, track.labels[target.residue])).filter(Boolean);
    return [data.residueName(target.chain, target.residue), ...tracks].join(", ");
  }
  const arc = data.arcs(state).find((one) => one.chain === target.chain &&
    one.query === target.query && one.key === target.key);
  if (arc) return arcText(data, arc, state.symmetric);
  return `${data.residueName(target.chain, target.query)} and ` +
    `${data.residueName(target.chain, target.key)}: no arc from the threshold up`;
}
