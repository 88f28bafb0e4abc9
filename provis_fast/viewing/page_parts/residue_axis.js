// An axis of residues: the chosen chains one after the other, with gaps between them.

const TICK_STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];

// The fewest residues that fill an axis at the highest magnification.
const FEWEST_RESIDUES = 12;

class ResidueAxis {
  // chains: of ViewData; chosen: indices of those that are shown, in order.
  constructor(chains, chosen) {
    this.chains = chains;
    this.chosen = chosen;
    const residues = chosen.reduce((sum, index) => sum + chains[index].sequence.length, 0);
    const gap = Math.max(1, 0.015 * residues);
    this.blocks = new Map();                          // chain -> {index, chain, start, length}
    let start = 0;
    for (const index of chosen) {
      const { length } = chains[index].sequence;
      this.blocks.set(index, { index, chain: chains[index], start, length });
      start += length + gap;
    }
    this.total = Math.max(1, start - gap);
    this.low = 0;                                     // what is shown, in residues
    this.high = this.total;
    this.from = 0;                                    // where, in pixels
    this.to = 1;
  }

  // Pixels on which the axis lies.
  place(from, to) {
    this.from = from;
    this.to = Math.max(from + 1, to);
    return this;
  }

  // The same residues on other pixels.
  placed(from, to) {
    const other = new ResidueAxis(this.chains, this.chosen);
    [other.low, other.high] = [this.low, this.high];
    return other.place(from, to);
  }

  get scale() {
    return (this.to - this.from) / (this.high - this.low);   // pixels per residue
  }

  get whole() {
    return this.high - this.low >= this.total - 1e-9;
  }

  // Pixel where a residue begins; its centre is `at`.
  edge(chain, residue) {
    return this.from + (this.blocks.get(chain).start + residue - this.low) * this.scale;
  }

  at(chain, residue) {
    return this.edge(chain, residue + 0.5);
  }

  // {chain, residue} under a pixel; null between chains and outside.
  residueAt(pixel) {
    if (pixel < this.from || pixel > this.to) return null;
    const slot = this.low + (pixel - this.from) / this.scale;
    for (const { index, start, length } of this.blocks.values()) {
      if (slot >= start && slot < start + length) {
        return { chain: index, residue: Math.min(length - 1, Math.floor(slot - start)) };
      }
    }
    return null;
  }

  // Residues of a chain that are in sight: [first, after last].
  inSight(chain) {
    const { start, length } = this.blocks.get(chain);
    const first = Math.max(0, Math.floor(this.low - start));
    return [first, Math.max(first, Math.min(length, Math.ceil(this.high - start)))];
  }

  // Magnify by a factor, with what is under a pixel staying there.
  zoom(factor, pixel) {
    const span = this.high - this.low;
    const least = Math.min(this.total, FEWEST_RESIDUES);
    const next = Math.min(this.total, Math.max(least, span / factor));
    const share = (pixel - this.from) / (this.to - this.from);
    this.#show(this.low + share * (span - next), next);
  }

  // Move along by a number of residues.
  move(residues) {
    this.#show(this.low + residues, this.high - this.low);
  }

  showWhole() {
    this.#show(0, this.total);
  }

  // Move just as far as brings a residue into sight.
  reveal(chain, residue) {
    const slot = this.blocks.get(chain).start + residue + 0.5;
    if (slot < this.low) this.move(slot - this.low - 1);
    if (slot > this.high) this.move(slot - this.high + 1);
  }

  #show(low, span) {
    this.low = Math.min(Math.max(0, low), this.total - span);
    this.high = this.low + span;
  }

  // Runs of residues of a chain in sight that are alike: {first, after, value}.
  runs(chain, valueOf) {
    const [first, after] = this.inSight(chain);
    const runs = [];
    for (let i = first; i < after; i++) {
      const value = valueOf(i);
      const last = runs[runs.length - 1];
      if (last && last.value === value) last.after = i + 1;
      else runs.push({ first: i, after: i + 1, value });
    }
    return runs;
  }

  // Ticks at round numbers of the author's numbering, at least `apart` pixels from each other. A
  // chain that has none so round gets one at the roundest number that it has room for.
  ticks(apart) {
    const place = TICK_STEPS.findIndex((each) => each * this.scale >= apart);
    const steps = TICK_STEPS.slice(0, place < 0 ? undefined : place + 1).reverse();
    const ticks = [];
    for (const { index } of this.blocks.values()) {
      const after = ticks.length ? ticks[ticks.length - 1].pixel + apart / 2 : -Infinity;
      const own = this.#ticksOf(index, steps[0], apart, after);
      for (let k = 1; own.length === 0 && k < steps.length; k++) {
        own.push(...this.#ticksOf(index, steps[k], apart, after).slice(0, 1));
      }
      ticks.push(...own);
    }
    return ticks;
  }

  // Ticks of a chain in sight, beyond a pixel; where numbers jump, round ones may come too close.
  #ticksOf(index, step, apart, beyond) {
    const { numbers } = this.chains[index];
    const ticks = [];
    let least = beyond;
    for (let [i, after] = this.inSight(index); i < after; i++) {
      if (!/^-?\d+$/.test(numbers[i]) || Number(numbers[i]) % step !== 0) continue;
      const pixel = this.at(index, i);
      if (pixel < least) continue;
      ticks.push({ chain: index, residue: i, pixel, label: numbers[i] });
      least = pixel + apart;
    }
    return ticks;
  }
}
