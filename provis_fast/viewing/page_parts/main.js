// Put the page together.

const HELP = [
  "An arc joins a residue that attends (query) to the residue it attends to (key). Its width is " +
    "the attention weight.",
  "Turn the structure by dragging, zoom with the wheel or two fingers, shift it with the right " +
    "button or with Ctrl held.",
  "Move the pointer over a tube or a residue to read its name, in the structure or in a diagram.",
  "Keys: n for the next head of the ranking, p for the previous one. The slider moves by 0.01 with " +
    "arrow keys, by 0.1 with page up and down.",
  "The saved scene opens in Mol* (molstar.org/viewer), with the structure inside.",
];

function showAbout(data, licences) {
  const { payload } = data;
  const contact = `Contacts: C-alphas within ${payload.contact.cutoff} Å, residues at least ` +
    `${payload.contact.min_separation} apart in sequence.`;
  const notes = [payload.structure.note, contact, ...payload.notes].filter(Boolean);
  document.getElementById("about").append(
    element("details", { id: "help" }, element("summary", {}, "How to use this view"),
      element("ul", {}, ...HELP.map((text) => element("li", {}, text)))),
    element("details", { id: "notes", open: true }, element("summary", {}, "About the data"),
      element("ul", {}, ...notes.map((text) => element("li", {}, text)))),
    element("details", { id: "licences" }, element("summary", {}, "Licences"),
      ...licences.flatMap(({ title, text }) => [
        element("h3", {}, title), element("pre", {}, text)])));
}

async function main() {
  const loading = document.getElementById("loading");
  const hovered = document.getElementById("hovered");
  loading.textContent = "Unpacking the view …";
  try {
    const payload = JSON.parse(await unpackText("payload"));
    const licences = JSON.parse(await unpackText("licences"));
    const data = new ViewData(payload);
    const state = new ViewState(payload);
    const scene = new Scene(document.getElementById("scene"), data, state);
    document.getElementById("subtitle").textContent =
      `${modelName(data)}: ${payload.model.n_layers} layers of ${payload.model.n_heads} heads`;
    new Controls(document.getElementById("controls"), data, state, scene);
    new ShownArcs(document.getElementById("shown"), data, state);
    showAbout(data, licences);
    state.addEventListener("hover", () => { hovered.textContent = hoverText(data, state); });
    scene.element.addEventListener("named", (event) => { hovered.textContent = event.detail; });
    new ContactMap(document.getElementById("contact-map"), data, state);
    new ArcDiagram(document.getElementById("arc-diagram"), data, state);
    new HeadTable(document.getElementById("heads"), data, state);
    loading.textContent = "Starting Mol* …";
    // A turn for the browser to show the page, before megabytes of JavaScript are read.
    await new Promise((resolve) => setTimeout(resolve, 0));
    await scene.start();
    loading.textContent = scene.viewer.plugin === null
      ? "This release of Mol* does not tell what the pointer is on, and gives no picture."
      : "";
    document.body.dataset.ready = "true";
  } catch (error) {
    loading.classList.add("failed");
    loading.textContent = `The structure cannot be shown: ${error.message}`;
    document.body.dataset.ready = "failed";
  }
}

main();
