// Counts of every head of this structure, from a threshold up and over the chosen chains:
// directed arcs, those of which contact is known (eligible), and those in contact.

// Heads with fewer eligible arcs have no proportion, and are ranked last (payload.min_arcs).
const FEWEST_ELIGIBLE = 20;

class HeadCounts {
  constructor(data) {
    this.data = data;
    this.kinds = null;                                  // per chain int8 [N]: 1, 0, -1 unknown
    this.pairs = data.chains.map((chain) => this.#knownPairs(chain));
    this.last = { question: null, heads: [] };          // the controls and the table ask the same
  }

  // Those of a page: counted once for all of its parts.
  static of(data) {
    data.headCounts ??= new HeadCounts(data);
    return data.headCounts;
  }

  // Pairs of which contact is known, and those in contact; both directions count the same.
  #knownPairs(chain) {
    const least = this.data.payload.contact.min_separation;
    let [known, before] = [0, 0];
    for (let j = least; j < chain.known.length; j++) {
      before += chain.known[j - least] ? 1 : 0;
      if (chain.known[j]) known += before;
    }
    return { known, contacts: chain.contacts.length / 2 };
  }

  #kindsOfArcs() {
    return this.data.chains.map(({ arcs }, index) => {
      const kinds = new Int8Array(arcs.query.length);
      for (let k = 0; k < kinds.length; k++) {
        const contact = this.data.isContact(index, arcs.query[k], arcs.key[k]);
        kinds[k] = contact === null ? -1 : Number(contact);
      }
      return kinds;
    });
  }

  get fewest() {
    return this.data.payload.min_arcs ?? FEWEST_ELIGIBLE;
  }

  // Heads as in the payload, best first: {rank, layer, head, arcs, eligible, contacts, proportion
  // (null where there are too few arcs), background}.
  at(threshold, chosen) {
    const question = JSON.stringify([threshold, [...chosen].sort((a, b) => a - b)]);
    if (this.last.question !== question) {
      this.last = { question, heads: this.#ranked(threshold, chosen) };
    }
    return this.last.heads;
  }

  #ranked(threshold, chosen) {
    const { payload, heads, chains } = this.data;
    if (threshold === payload.threshold && chosen.size === chains.length) {
      return heads.map((head, k) => ({ rank: k + 1, ...head }));
    }
    this.kinds ??= this.#kindsOfArcs();
    let [known, touching] = [0, 0];
    for (const index of chosen) {
      known += this.pairs[index].known;
      touching += this.pairs[index].contacts;
    }
    const found = heads.map(({ layer, head }) => {
      const counts = { arcs: 0, eligible: 0, contacts: 0 };
      for (const index of chosen) this.#add(counts, index, layer, head, threshold);
      const enough = counts.eligible >= Math.max(1, this.fewest);
      return {
        layer, head, ...counts,
        proportion: enough ? counts.contacts / counts.eligible : null,
        background: known ? touching / known : null,
      };
    });
    found.sort((a, b) => (b.proportion ?? -1) - (a.proportion ?? -1) ||
      b.eligible - a.eligible || b.arcs - a.arcs || a.layer - b.layer || a.head - b.head);
    return found.map((head, k) => ({ rank: k + 1, ...head }));
  }

  #add(counts, index, layer, head, threshold) {
    const { starts, weight } = this.data.chains[index].arcs;
    const kinds = this.kinds[index];
    const number = (layer - 1) * this.data.payload.model.n_heads + head - 1;
    for (let k = starts[number]; k < starts[number + 1] && weight[k] >= threshold; k++) {
      counts.arcs += 1;                                 // strongest first
      if (kinds[k] < 0) continue;
      counts.eligible += 1;
      counts.contacts += kinds[k];
    }
  }
}
