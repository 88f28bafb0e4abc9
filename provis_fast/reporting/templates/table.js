"use strict";

/* Tables of numbers that sort and filter.
 *
 * `reporting/embedding.py` writes the numbers: one JSON text per table, in which all columns are one gzipped block of bytes.
 * Rows are made as they are asked for, `step` at a time: tens of thousands stay usable.
 *
 * Column: {key, label, title, kind, group, of, values, filter, within}. Kinds: text (values: its distinct texts, the column
 * holds their numbers), integer, share (percent; a plain number where the row's `flag` column says value), gain (a ratio, or
 * a difference), number, logp (natural logarithm of a p-value), head (of layer, head), interval (of low, high). Columns with
 * `of` are made of others and hold nothing; the others are those of the CSV file. filter: choose, minimum, maximum.
 */

class DataTable {
  /**
   * @param {HTMLElement} element  `div.data-table` of the page
   * @param {object} table  its JSON
   * @param {object} columns  typed arrays by key
   */
  constructor(element, table, columns) {
    this.element = element;
    this.table = table;
    this.columns = columns;
    this.byKey = new Map(table.columns.map((column) => [column.key, column]));
    this.groups = new Set(table.groups.filter((group) => group.shown).map((group) => group.key));
    this.limits = new Map(Object.entries(table.limits)); // key -> {choose|minimum|maximum: value}
    this.inputs = new Map();
    this.sorting = table.sort;
    this.shown = table.step;
    this.status = element.querySelector(".table-status");
    this.head = element.querySelector("thead");
    this.body = element.querySelector("tbody");
    this._makeControls();
    this._makeMore();
    this._makeHead();
    this.refresh();
    element.querySelector(".no-script").remove();
    element.dataset.ready = "yes";
  }

  static async start(element) {
    const source = document.getElementById(`data-${element.dataset.table}`);
    try {
      const table = JSON.parse(source.textContent);
      element.dataTable = new DataTable(element, table, await unpackColumns(table));
    } catch (error) {
      element.querySelector(".table-status").textContent =
        `This browser cannot unpack the table (${error.message}); these are its first rows.`;
    }
  }

  get visible() {
    return this.table.columns.filter((column) => column.group === "" || this.groups.has(column.group));
  }

  /** Set limits of one column from outside: `table.filter("property", "contact")`. */
  filter(key, value) {
    const input = this.inputs.get(key);
    input.value = value;
    input.dispatchEvent(new Event("change"));
  }

  sort(key, descending) {
    this.sorting = [key, descending];
    this.refresh();
  }

  refresh(shown = this.table.step) {
    this.rows = this._filtered();
    this._sortRows();
    this.shown = shown;
    this._drawHead();
    this._drawRows(0);
  }

  // ---- rows

  _filtered() {
    const tests = [];
    for (const [key, limit] of this.limits) {
      const column = this.columns[key];
      if ("choose" in limit) tests.push((row) => column[row] === limit.choose);
      if ("minimum" in limit) tests.push((row) => column[row] >= limit.minimum);
      if ("maximum" in limit) tests.push((row) => column[row] <= limit.maximum);
    }
    const rows = new Uint32Array(this.table.rows);
    let kept = 0;
    next: for (let row = 0; row < this.table.rows; row++) {
      for (const test of tests) if (!test(row)) continue next;
      rows[kept++] = row;
    }
    return rows.subarray(0, kept);
  }

  /** What a column is sorted by: numbers. */
  _keys(column) {
    if (column.kind === "head") {
      const [layer, head] = column.of.map((key) => this.columns[key]);
      return Float64Array.from(layer, (value, row) => value * 65536 + head[row]);
    }
    if (column.kind === "text") {
      const order = column.values.map((_, code) => code);
      order.sort((a, b) => (column.values[a] < column.values[b] ? -1 : 1));
      const rank = new Array(order.length);
      order.forEach((code, place) => (rank[code] = place));
      return Float64Array.from(this.columns[column.key], (code) => rank[code]);
    }
    return this.columns[column.of ? column.of[0] : column.key];
  }

  /** What is undefined stands last either way; equals keep the order of the file. */
  _sortRows() {
    const [key, descending] = this.sorting;
    const keys = this._keys(this.byKey.get(key));
    const sign = descending ? -1 : 1;
    this.rows.sort((a, b) => {
      const x = keys[a];
      const y = keys[b];
      if (x === y) return a - b;
      if (Number.isNaN(x)) return Number.isNaN(y) ? a - b : 1;
      if (Number.isNaN(y)) return -1;
      return x < y ? -sign : sign;
    });
  }

  text(column, row) {
    const of = (key) => this.columns[key][row];
    const isValue = this.table.flag ? of(this.table.flag) === 1 : false;
    const share = (value) => (isValue ? significant(value, 3) : percent(value));
    switch (column.kind) {
      case "head":
        return column.of.map(of).join("-");
      case "text":
        return column.values[of(column.key)];
      case "integer":
        return Number.isNaN(of(column.key)) ? "" : GROUPED.format(of(column.key));
      case "share":
        return share(of(column.key));
      case "points": {
        const value = of(column.key);
        if (Number.isNaN(value)) return "";
        return (value > 0 ? "+" : "") + (isValue ? significant(value, 3) : percent(value, ""));
      }
      case "gain": {
        const value = of(column.key);
        if (Number.isNaN(value)) return "";
        if (isValue) return (value > 0 ? "+" : "") + significant(value, 3);
        return (value !== 0 && value < 0.95 ? value.toFixed(2) : value.toFixed(1)) + "×";
      }
      case "interval": {
        const [low, high] = column.of.map(of);
        if (Number.isNaN(low) || Number.isNaN(high)) return "";
        return `${share(low).replace(/%$/, "")} to ${share(high)}`;
      }
      case "logp":
        return fromLog(of(column.key));
      default:
        return significant(of(column.key), 3);
    }
  }

  _drawRows(from) {
    const until = Math.min(this.shown, this.rows.length);
    const columns = this.visible;
    const drawn = document.createDocumentFragment();
    for (let place = from; place < until; place++) {
      const line = document.createElement("tr");
      columns.forEach((column, number) => {
        const cell = document.createElement(number ? "td" : "th");
        if (!number) cell.scope = "row";
        else if (column.kind !== "text") cell.className = "right";
        cell.textContent = this.text(column, this.rows[place]);
        line.append(cell);
      });
      drawn.append(line);
    }
    if (from === 0) this.body.replaceChildren(drawn);
    else this.body.append(drawn);
    this._say(until);
  }

  _say(until) {
    const [key, descending] = this.sorting;
    const all = GROUPED.format(this.table.rows);
    const chosen = this.rows.length === this.table.rows ? "" : ` (of ${all})`;
    const by = this.byKey.get(key).label;
    this.status.textContent =
      `Showing ${GROUPED.format(until)} of ${GROUPED.format(this.rows.length)} rows${chosen}, ` +
      `sorted by ${by}, ${descending ? "largest" : "smallest"} first.`;
    const left = this.rows.length - until;
    this.moreButton.hidden = left === 0;
    this.moreButton.textContent = `Show ${GROUPED.format(Math.min(left, this.table.step * 4))} more`;
  }

  // ---- controls

  _makeHead() {
    const line = document.createElement("tr");
    this.buttons = new Map();
    for (const column of this.table.columns) {
      const arrow = make("span", { class: "arrow", "aria-hidden": "true" });
      const button = make("button", { type: "button", title: column.title }, column.label, arrow);
      button.addEventListener("click", () => {
        const [key, descending] = this.sorting;
        this.sort(column.key, key === column.key ? !descending : column.first === "largest");
      });
      const cell = make("th", { scope: "col", "data-key": column.key }, button);
      if (column.kind !== "text" && column.kind !== "head") cell.classList.add("right");
      this.buttons.set(column.key, cell);
      line.append(cell);
    }
    this.head.replaceChildren(line);
  }

  _drawHead() {
    const visible = new Set(this.visible);
    const [sorted, descending] = this.sorting;
    for (const column of this.table.columns) {
      const cell = this.buttons.get(column.key);
      cell.hidden = !visible.has(column);
      const is = column.key === sorted;
      cell.setAttribute("aria-sort", is ? (descending ? "descending" : "ascending") : "none");
      cell.querySelector(".arrow").textContent = is ? (descending ? "▼" : "▲") : "";
    }
  }

  _makeControls() {
    const controls = this.element.querySelector(".controls");
    for (const column of this.table.columns.flatMap((c) => c.filters ?? [])) {
      const id = `${this.table.id}-${column.key}-${column.how}`;
      const input = column.how === "choose" ? this._chooser(column) : this._number(column);
      input.id = id;
      this.inputs.set(column.key, input);
      controls.append(make("div", { class: "field" }, make("label", { for: id }, column.label), input));
    }
    this._limitChoices();
    const reset = make("button", { type: "button", class: "action quiet" }, "Show all");
    reset.addEventListener("click", () => this.reset());
    controls.append(reset);
    const named = this.table.groups.filter((group) => group.label);
    if (named.length) {
      const box = make("fieldset", {}, make("legend", {}, "Columns"));
      for (const group of named) {
        const input = make("input", { type: "checkbox", value: group.key });
        input.checked = this.groups.has(group.key);
        input.addEventListener("change", () => {
          if (input.checked) this.groups.add(group.key);
          else this.groups.delete(group.key);
          this._drawHead();
          this._drawRows(0);
        });
        box.append(make("label", {}, input, ` ${group.label}`));
      }
      controls.append(box);
    }
    controls.hidden = false;
  }

  _chooser(filter) {
    const select = make("select");
    select.addEventListener("change", () => this._limit(filter, select.value, Number(select.value)));
    return select;
  }

  _number(filter) {
    const input = make("input", { type: "number", min: "0", step: "any", inputmode: "decimal" });
    if (filter.placeholder) input.placeholder = filter.placeholder;
    const limit = () => {
      const typed = Number(input.value);
      this._limit(filter, input.value, filter.log ? Math.log(typed) : typed);
    };
    input.addEventListener("input", limit);
    input.addEventListener("change", limit);
    return input;
  }

  _limit(filter, typed, value) {
    if (typed === "" || Number.isNaN(value)) this.limits.delete(filter.key);
    else this.limits.set(filter.key, { [filter.how]: value });
    this._limitChoices();
    this.refresh();
  }

  reset() {
    this.limits.clear();
    for (const input of this.inputs.values()) input.value = "";
    this._limitChoices();
    this.refresh();
  }

  /** What may be chosen: of a column that stands within another (class in property), what occurs with its choice. */
  _limitChoices() {
    for (const column of this.table.columns.flatMap((c) => c.filters ?? [])) {
      if (column.how !== "choose") continue;
      const select = this.inputs.get(column.key);
      const outer = column.within ? this.limits.get(column.within)?.choose : undefined;
      if (select.options.length && select.dataset.outer === String(outer)) continue;
      select.dataset.outer = String(outer);
      const found = new Set();
      for (let row = 0; row < this.table.rows; row++)
        if (outer === undefined || this.columns[column.within][row] === outer) found.add(this.columns[column.key][row]);
      const values = this.byKey.get(column.key)?.values;
      const chosen = this.limits.get(column.key)?.choose;
      const options = [...found].filter((value) => !Number.isNaN(value)).sort((a, b) => a - b);
      select.replaceChildren(new Option("all", ""), ...options.map((v) => new Option(values ? values[v] : v, v)));
      if (found.has(chosen)) select.value = chosen;
      else this.limits.delete(column.key);
    }
  }

  _makeMore() {
    const more = this.element.querySelector(".more");
    this.moreButton = make("button", { type: "button", class: "action" }, "Show more");
    this.moreButton.addEventListener("click", () => {
      const from = Math.min(this.shown, this.rows.length);
      this.shown += this.table.step * 4;
      this._drawRows(from);
      this.body.rows[from]?.querySelector("th")?.setAttribute("tabindex", "-1");
      if (this.moreButton.hidden) this.body.rows[from]?.querySelector("th")?.focus();
    });
    const save = make("button", { type: "button", class: "action quiet", "data-save": "chosen" }, "Download these rows (CSV)");
    save.addEventListener("click", () => this.download(this.rows));
    more.append(this.moreButton, save);
    more.hidden = false;
  }

  // ---- CSV

  csv(rows) {
    const columns = this.table.layout.filter(({ key }) => key !== this.table.flag);
    const quoted = (text) => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
    const cells = columns.map(({ key, dtype }) => {
      const column = this.byKey.get(key);
      const data = this.columns[key];
      if (column?.kind === "text") return (row) => quoted(column.values[data[row]]);
      if (dtype !== "float32") return (row) => (Number.isNaN(data[row]) ? "" : String(data[row]));
      // Six digits were kept; the rest of the shortest decimal form would be noise.
      return (row) => (Number.isNaN(data[row]) ? "" : String(Number(data[row].toPrecision(6))));
    });
    const lines = [columns.map(({ key }) => quoted(key)).join(",")];
    for (const row of rows) lines.push(cells.map((cell) => cell(row)).join(","));
    return lines.join("\n") + "\n";
  }

  download(rows = Uint32Array.from({ length: this.table.rows }, (_, row) => row)) {
    const address = URL.createObjectURL(new Blob([this.csv(rows)], { type: "text/csv" }));
    const link = make("a", { href: address, download: this.table.file });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
  }
}

const TABLES = [...document.querySelectorAll(".data-table")].map((element) => DataTable.start(element));
