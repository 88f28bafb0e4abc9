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
  constructor(element, data, state) {
    this.element = element;
    this.data = data;
    this.state = state;
    this.counts = new HeadCounts(data);
    this.sorted = { name: "rank", direction: "ascending" };
    this.waiting = 0;
    this.#build();
    state.addEventListener("change", (event) => {
      const counted = event.detail.some((name) => name === "threshold" || name === "chains");
      if (counted) this.#fillSoon();
      else this.#mark();
    });
    new ResizeObserver(() => this.#drawGrid()).observe(element);
    this.fill();
  }

  #build() {
    const make = (name, className, parent, words) => {
      const made = document.createElement(name);
      made.className = className;
      if (words !== undefined) made.textContent = words;
      parent.append(made);
      return made;
    };
    this.element.replaceChildren();
    this.element.classList.add("companion", "companion-heads");
    make("h2", "companion-title", this.element, "Heads, ranked for this structure");
    this.about = make("p", "companion-summary", this.element);
    const sides = make("div", "companion-sides", this.element);
    const gridSide = make("div", "companion-grid-side", sides);
    this.gridSide = gridSide;
    this.grid = new HeadGrid(gridSide, this.data, this.state, (layer, head) => {
      this.state.set({ layer, head });
      this.#chosenRow()?.scrollIntoView({ block: "nearest" });
    });
    const box = make("div", "companion-table", sides);
    box.tabIndex = -1;
    const table = make("table", "", box);
    make("caption", "companion-spoken", table,
      "Heads of the model with their arcs in this structure. Buttons in the header sort; up and " +
      "down move between heads, Enter chooses one.");
    const row = make("tr", "", make("thead", "", table));
    this.headers = new Map();
    for (const column of HEAD_COLUMNS) {
      const cell = make("th", "", row);
      cell.scope = "col";
      const button = make("button", "", cell, column.words);
      button.type = "button";
      if (column.help) button.title = column.help;
      button.addEventListener("click", () => this.sortBy(column.name));
      this.headers.set(column.name, cell);
    }
    this.body = make("tbody", "", table);
    this.body.addEventListener("click", (event) => {
      const chosen = event.target.closest("tr");
      if (chosen) this.#choose(chosen);
    });
    this.body.addEventListener("keydown", (event) => this.#keyPressed(event));
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
    const focused = this.body.contains(document.activeElement)
      ? document.activeElement.dataset.head : null;
    this.body.replaceChildren(...ordered.map((head) => this.#row(head)));
    this.#mark();
    if (focused) this.#button(focused)?.focus();
  }

  #row(head) {
    const row = document.createElement("tr");
    row.dataset.layer = head.layer;
    row.dataset.head = head.head;
    const number = `${head.layer}-${head.head}`;
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.head = number;
    button.textContent = number;
    button.setAttribute("aria-label", `Show head ${number}`);
    button.tabIndex = -1;
    const words = {
      rank: String(head.rank), head: button,
      arcs: head.arcs.toLocaleString("en"), eligible: head.eligible.toLocaleString("en"),
      contacts: head.contacts.toLocaleString("en"), proportion: percent(head.proportion),
      background: percent(head.background),
      enrichment: head.enrichment === null ? "–" : `${head.enrichment.toFixed(1)}×`,
    };
    for (const { name } of HEAD_COLUMNS) {
      const cell = document.createElement(name === "head" ? "th" : "td");
      if (name === "head") cell.scope = "row";
      cell.append(words[name]);                         // a text or an element, never markup
      row.append(cell);
    }
    return row;
  }

  #button(number) {
    return this.body.querySelector(`button[data-head="${number}"]`);
  }

  #chosenRow() {
    return this.#button(chosenHead(this.state))?.closest("tr");
  }

  // Mark the chosen head; it is the one row that Tab reaches, arrows reach the others.
  #mark() {
    const chosen = this.#chosenRow() ?? this.body.rows[0];
    for (const row of this.body.rows) {
      const is = row === chosen;
      row.classList.toggle("companion-chosen", is);
      const button = row.querySelector("button");
      button.tabIndex = is ? 0 : -1;
      if (is) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
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
