// Heads ranked by the share of their arcs that are contacts of this structure: a table that sorts
// by every column, and a grid of layers by heads. Both choose the head that the page shows.

const HEAD_COLUMNS = [
  { name: "rank", words: "Rank", first: "ascending" },
  { name: "head", words: "Head", first: "ascending" },
  { name: "arcs", words: "Arcs", first: "descending" },
  { name: "eligible", words: "Eligible", first: "descending",
    help: "arcs of which contact is known: both residues resolved, far enough apart" },
  { name: "contacts", words: "Contacts", first: "descending" },
  { name: "proportion", words: "Share", first: "descending",
    help: "contacts / eligible arcs" },
  { name: "background", words: "Background", first: "descending",
    help: "contacts / pairs of residues of which contact is known" },
  { name: "enrichment", words: "Favoured", first: "descending", help: "share / background" },
];

class HeadTable {
  constructor(place, data, state) {
    this.element = place;
    this.data = data;
    this.state = state;
    this.counts = HeadCounts.of(data);
    this.sorted = { name: "rank", direction: "ascending" };
    this.waiting = 0;
    this.rows = new Map();                              // "12-4" -> {row, button, cells}
    this.marked = null;
    this.#build();
    state.addEventListener("change", (event) => {
      const counted = event.detail.some((name) => name === "threshold" || name === "chains");
      if (counted) this.#fillSoon();
      else this.#mark();
      if (event.detail.includes("layer") || event.detail.includes("head")) this.#showChosen();
    });
    new ResizeObserver(() => this.#drawGrid()).observe(place);
    this.fill();
  }

  #build() {
    this.about = element("p", { class: "companion-summary" });
    this.gridSide = element("div", { class: "companion-grid-side" });
    this.grid = new HeadGrid(this.gridSide, this.data, this.state, (layer, head) => {
      this.state.set({ layer, head });
    });
    this.headers = new Map(HEAD_COLUMNS.map(({ name, words, help }) => [name,
      element("th", { scope: "col" }, element("button",
        { type: "button", title: help, onclick: () => this.sortBy(name) }, words))]));
    this.body = element("tbody", {
      onclick: (event) => {
        const row = event.target.closest("tr");
        if (row) this.#choose(row);
      },
      onkeydown: (event) => this.#keyPressed(event),
    });
    this.box = element("div", { class: "companion-table" }, element("table", {},
      element("caption", { class: "companion-spoken" },
        "Heads of the model with their arcs in this structure. Buttons in the header sort; up " +
        "and down move between heads, Enter chooses one."),
      element("thead", {}, element("tr", {}, ...this.headers.values())), this.body));
    this.element.classList.add("companion", "companion-heads");
    this.element.replaceChildren(
      element("h2", { class: "companion-title" }, "Heads, ranked for this structure"),
      this.about, element("div", { class: "companion-sides" }, this.gridSide, this.box));
  }

  // Count again at the next frame, however many changes there are until then.
  #fillSoon() {
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => {
      this.waiting = 0;
      this.fill();
    });
  }

  // Count, and show all rows anew.
  fill() {
    const { threshold, chains } = this.state;
    this.heads = this.counts.at(threshold, chains).map((head) => ({
      ...head,
      enrichment: head.proportion !== null && head.background
        ? head.proportion / head.background : null,
    }));
    const ids = [...chains].sort((a, b) => a - b).map((index) => this.data.chains[index].id);
    this.about.textContent =
      `Arcs of weight ${+threshold.toFixed(3)} or more, each direction counted by itself, in ` +
      `chain${ids.length === 1 ? "" : "s"} ${ids.join(", ") || "none"}. Share: of the arcs whose ` +
      "residues are resolved and at least " +
      `${this.data.payload.contact.min_separation} apart along the chain, those in contact; of ` +
      `fewer than ${this.counts.fewest} such arcs none is given.`;
    this.#order();
    this.#drawGrid();
  }

  sortBy(name) {
    const column = HEAD_COLUMNS.find((each) => each.name === name);
    const other = this.sorted.direction === "ascending" ? "descending" : "ascending";
    this.sorted = { name, direction: this.sorted.name === name ? other : column.first };
    this.#order();
  }

  // Rows by the chosen column; what has no value comes last either way, and rank breaks ties.
  #order() {
    const { name, direction } = this.sorted;
    const sign = direction === "ascending" ? 1 : -1;
    const value = (head) => (name === "head" ? head.layer * 100_000 + head.head : head[name]);
    const ordered = [...this.heads].sort((a, b) => {
      const [left, right] = [value(a), value(b)];
      if (left === null || right === null) {
        return (left === null) - (right === null) || a.rank - b.rank;
      }
      return sign * (left - right) || a.rank - b.rank;
    });
    for (const [each, cell] of this.headers) {
      if (each === name) cell.setAttribute("aria-sort", direction);
      else cell.removeAttribute("aria-sort");
    }
    const focused = this.body.contains(document.activeElement) ? document.activeElement : null;
    this.body.replaceChildren(...ordered.map((head) => this.#row(head)));
    this.#mark();
    focused?.focus({ preventScroll: true });            // a row that moves loses the focus
  }

  // The row of a head, made once, with its present numbers.
  #row(head) {
    const number = `${head.layer}-${head.head}`;
    if (!this.rows.has(number)) this.rows.set(number, this.#newRow(head, number));
    const { row, cells } = this.rows.get(number);
    const words = {
      rank: String(head.rank), arcs: countText(head.arcs), eligible: countText(head.eligible),
      contacts: countText(head.contacts), proportion: percent(head.proportion),
      background: percent(head.background),
      enrichment: head.enrichment === null ? "–" : `${head.enrichment.toFixed(1)}×`,
    };
    for (const [name, text] of Object.entries(words)) {
      if (cells[name].textContent !== text) cells[name].textContent = text;
    }
    return row;
  }

  #newRow(head, number) {
    const button = element("button",
      { type: "button", tabindex: -1, "data-head": number, "aria-label": `Show head ${number}` },
      number);
    const cells = Object.fromEntries(HEAD_COLUMNS.map(({ name }) => [name,
      name === "head" ? element("th", { scope: "row" }, button) : element("td")]));
    const row = element("tr", { "data-layer": head.layer, "data-head": head.head },
      ...Object.values(cells));
    return { row, button, cells };
  }

  #chosenRow() {
    return this.rows.get(chosenHead(this.state))?.row;
  }

  // Bring the chosen row into sight within the table, without scrolling the page.
  #showChosen() {
    const row = this.#chosenRow();
    if (!row) return;
    const header = this.box.querySelector("thead").offsetHeight;
    const { offsetTop: top, offsetHeight: height } = row;
    if (top - header < this.box.scrollTop) this.box.scrollTop = top - header;
    if (top + height > this.box.scrollTop + this.box.clientHeight) {
      this.box.scrollTop = top + height - this.box.clientHeight;
    }
  }

  // Mark the chosen head; it is the one row that Tab reaches, arrows reach the others.
  #mark() {
    const chosen = this.#chosenRow() ?? this.body.rows[0];
    if (chosen === this.marked) return;
    for (const { row, button } of this.rows.values()) {
      if (row !== chosen && row !== this.marked) continue;
      const is = row === chosen;
      row.classList.toggle("companion-chosen", is);
      button.tabIndex = is ? 0 : -1;
      if (is) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
    this.marked = chosen;
    if (this.grid.width) this.grid.draw();
  }

  #choose(row) {
    this.state.set({ layer: Number(row.dataset.layer), head: Number(row.dataset.head) });
    row.querySelector("button").focus({ preventScroll: true });
  }

  #keyPressed(event) {
    const row = event.target.closest("tr");
    const { rows } = this.body;
    const place = [...rows].indexOf(row);
    const next = {
      ArrowDown: place + 1, ArrowUp: place - 1, Home: 0, End: rows.length - 1,
      PageDown: Math.min(place + 10, rows.length - 1), PageUp: Math.max(place - 10, 0),
    }[event.key];
    if (next === undefined || !rows[next]) return;
    event.preventDefault();
    rows[next].querySelector("button").focus();
  }

  #drawGrid() {
    const width = Math.floor(this.gridSide.clientWidth);
    if (width > 40 && this.heads) this.grid.show(this.heads, width);
  }
}
