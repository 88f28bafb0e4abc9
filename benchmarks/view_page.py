"""How soon the page of a view shows its structure, and how soon another head.

    python benchmarks/view_page.py [PAYLOAD.json ...] [--repeats 3] [--heads 8] [--out FILE]

Opens each page in a headless Chromium that draws in software, with the network off. Without a
payload, made-up proteins of 500 and 2,000 residues with the heads of ESM-2 8M (6 layers of 20) are
taken. "first picture" is from the start of navigation to the first picture of structure and arcs,
"another head" from the choice to its picture; a pixel is read back, which waits for the graphics.
Medians over all openings and choices.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

import machine

from provis_fast.viewing import page as view_page

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

# Done when everything given to the graphics was drawn.
FINISH = """
window.finishDrawing = () => {
  const gl = document.querySelector("#scene canvas")?.getContext("webgl2");
  gl?.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
};
"""
# The time at which the page says that it is ready, by its own clock.
WATCH = """
new MutationObserver((_, observer) => {
  if (!document.body?.dataset.ready) return;
  window.finishDrawing();
  window.readyAt = performance.now();
  observer.disconnect();
}).observe(document, { attributes: true, subtree: true, attributeFilter: ["data-ready"] });
"""
CHANGE = """async () => {
  const begun = performance.now();
  const drawn = new Promise((done) => document.getElementById("scene")
    .addEventListener("drawn", done, { once: true }));
  document.getElementById("next").click();
  await drawn;
  window.finishDrawing();
  return performance.now() - begun;
}"""


def made_up() -> dict[str, dict]:
    """Payloads of proteins of 500 and 2,000 residues; 2,000 arcs in every head of each."""
    import view_payloads

    return {f"{n} residues": view_payloads.view_payload((n,), 6, 20, 2000) for n in (500, 2000)}


def measure(browser, path: Path, repeats: int, heads: int) -> dict:
    """Open a page some times, and go through some heads each time."""
    first, change = [], []
    for _ in range(repeats):
        context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900})
        context.add_init_script(FINISH + WATCH)
        page = context.new_page()
        page.goto(path.as_uri())
        page.wait_for_selector("body[data-ready]", timeout=300_000)
        if page.get_attribute("body", "data-ready") != "true":
            raise SystemExit(f"{path}: {page.inner_text('#loading')}")
        first.append(page.evaluate("() => window.readyAt") / 1000)
        page.wait_for_timeout(3000)
        for _ in range(heads):
            change.append(page.evaluate(CHANGE) / 1000)
        context.close()
    return {
        "first picture": {"seconds": statistics.median(first), "all": first},
        "another head": {"seconds": statistics.median(change), "all": change},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("payloads", type=Path, nargs="*", help="made by pf.view; default: made up")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--heads", type=int, default=8, help="changes of head per opening")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    import browser as browsers  # of the tests

    payloads = {
        path.stem: json.loads(path.read_text(encoding="utf-8")) for path in arguments.payloads
    } or made_up()
    found = {"machine": machine.describe(), "load": os.getloadavg()[0], "views": {}}
    with tempfile.TemporaryDirectory() as folder, browsers.started() as browser:
        for name, payload in payloads.items():
            path = Path(folder) / "view.html"
            path.write_text(view_page.render(payload), encoding="utf-8")
            view = {
                "residues": sum(len(chain["sequence"]) for chain in payload["chains"]),
                "megabytes": path.stat().st_size / 1e6,
                **measure(browser, path, arguments.repeats, arguments.heads),
            }
            found["views"][name] = view
            print(
                f"{name}: {view['megabytes']:.1f} MB, first picture after "
                f"{view['first picture']['seconds']:.1f} s, another head after "
                f"{view['another head']['seconds']:.2f} s"
            )
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
