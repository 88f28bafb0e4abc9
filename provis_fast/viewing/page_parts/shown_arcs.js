// The drawn arcs as a table: for the keyboard, for screen readers, and to look a residue up.

class ShownArcs {
  constructor(container, data, state) {
    this.data = data;
    this.state = state;
    this.caption = element("caption");
    this.rows = element("tbody");
    const heads = ["Query", "Key", "Weight", "Relation"].map((name) =>
      element("th", { scope: "col" }, name));
    this.heads = heads;
    const table = element("table", {}, this.caption,
      element("thead", {}, element("tr", {}, ...heads)), this.rows);
    this.details = element("details", { ontoggle: () => this.#fill() },
      element("summary", {}, "Arcs drawn, as a table"),
      element("div", { class: "scroll", tabindex: "0", role: "region",
        "aria-label": "Arcs drawn, as a table" }, table));
    container.append(this.details);
    state.addEventListener("change", () => this.#fill());
  }

  // Filled while it is open only: three hundred rows at every step of a slider are many.
  #fill() {
    if (!this.details.open) return;
    const { data, state } = this;
    const drawn = data.arcs(state).slice(0, MAX_DRAWN);
    const words = { contact: "in contact", apart: "not in contact", unknown: "not counted" };
    this.heads[0].textContent = state.symmetric ? "Residue" : "Query";
    this.heads[1].textContent = state.symmetric ? "Other residue" : "Key";
    this.caption.textContent =
      `Layer ${state.layer}, head ${state.head}: ${countLine(data, state)}`;
    this.rows.replaceChildren(...drawn.map((arc) => {
      const target = { chain: arc.chain, query: arc.query, key: arc.key };
      return element("tr",
        { onmouseenter: () => state.hover(target), onmouseleave: () => state.hover(null) },
        element("td", {}, data.residueName(arc.chain, arc.query)),
        element("td", {}, data.residueName(arc.chain, arc.key)),
        element("td", { class: "number" }, arc.weight.toFixed(3)),
        element("td", { class: arcKind(arc) }, words[arcKind(arc)]));
    }));
  }
}
