// What the reader has chosen; the parts of the page listen to it, and to each other through it.

class ViewState extends EventTarget {
  constructor(payload) {
    super();
    this.layer = payload.layer;                 // from 1
    this.head = payload.head;                   // from 1
    this.threshold = payload.threshold;
    this.symmetric = payload.symmetric;
    this.chains = new Set(payload.chains.keys());
    this.hovered = null;
  }

  // Change some of layer, head, threshold, symmetric, chains; one "change" event tells which.
  set(choice) {
    const changed = Object.keys(choice).filter((name) => !this.#same(name, choice[name]));
    if (changed.length === 0) return;
    for (const name of changed) this[name] = choice[name];
    this.dispatchEvent(new CustomEvent("change", { detail: changed }));
  }

  // {chain, query, key}, {chain, residue} or null: what the pointer is on, in any part.
  hover(target) {
    if (JSON.stringify(target) === JSON.stringify(this.hovered)) return;
    this.hovered = target;
    this.dispatchEvent(new CustomEvent("hover", { detail: target }));
  }

  #same(name, value) {
    if (!(value instanceof Set)) return this[name] === value;
    return value.size === this[name].size && [...value].every((item) => this[name].has(item));
  }
}
