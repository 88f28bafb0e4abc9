"use strict";

/* What a report does beside its tables. */

/** Rows of one property, from its section. */
for (const button of document.querySelectorAll("button[data-show-property]"))
  button.addEventListener("click", () => {
    const name = button.dataset.table ?? "heads";
    const element = document.querySelector(`.data-table[data-table="${name}"]`);
    const table = element.dataTable;
    if (!table) return;
    table.reset();
    table.filter("property", button.dataset.showProperty);
    document.getElementById(name).scrollIntoView();
    element.querySelector(".scroll").focus({ preventScroll: true });
  });

for (const button of document.querySelectorAll("button[data-download]"))
  button.addEventListener("click", () =>
    document.querySelector(`.data-table[data-table="${button.dataset.download}"]`).dataTable?.download());

/** Closed sections would be missing on paper. */
let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open])")];
  for (const section of opened) section.open = true;
});
addEventListener("afterprint", () => {
  for (const section of opened) section.open = false;
});

/** A link to something in a closed section opens it. */
function openTarget() {
  document.getElementById(decodeURIComponent(location.hash.slice(1)))?.closest("details")?.setAttribute("open", "");
}
addEventListener("hashchange", openTarget);
openTarget();
for (const element of document.querySelectorAll(".needs-script")) element.hidden = false;
