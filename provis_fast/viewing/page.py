"""The page of a 3-D view: one HTML file with Mol*, the structure and the arcs of every head."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from functools import cache
from importlib import metadata, resources

from provis_fast.errors import ArgumentError

#: Parts of the page's program, in the order in which they are joined. The companions (the same
#: arcs in two dimensions, and the ranking of heads) need nothing of the scene.
SCRIPTS = (
    "data.js",
    "state.js",
    "elements.js",
    "unpack.js",
    "drawing_surface.js",
    "residue_axis.js",
    "arc_marks.js",
    "annotation_tracks.js",
    "companion.js",
    "contact_map.js",
    "arc_diagram.js",
    "head_counts.js",
    "head_grid.js",
    "head_table.js",
    "camera.js",
    "mvs.js",
    "molstar.js",
    "scene.js",
    "exports.js",
    "shown_arcs.js",
    "controls.js",
    "main.js",
)
STYLES = ("page.css", "companions.css")

# The module names Mol*'s licence, and that of libraries inside, but does not hold the texts.
_MOLSTAR_COPYRIGHT = "Copyright (c) 2017 - now, Mol* contributors"
_REACT_COPYRIGHT = "Copyright (c) Meta Platforms, Inc. and affiliates"


@cache
def _own(name: str) -> str:
    """Text of a file of the page."""
    return (
        resources.files("provis_fast.viewing")
        .joinpath("page_parts", name)
        .read_text(encoding="utf-8")
    )


def _packed(content: bytes) -> str:
    """Gzipped, in base64: nothing in it can end a script element."""
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode("ascii")


@cache
def _molstar() -> dict[str, str]:
    """Mol* with MolViewSpec, unmodified, from the installed `ipymolstar`; packed."""
    try:
        # Found, not imported: importing it needs a notebook's packages, and serves no purpose here.
        files = metadata.distribution("ipymolstar").locate_file("ipymolstar/static")
        return {
            "molstar-module": _packed(files.joinpath("molviewspec.js").read_bytes()),
            "molstar-css": _packed(files.joinpath("molviewspec.css").read_bytes()),
        }
    except (metadata.PackageNotFoundError, OSError) as error:
        raise ArgumentError(
            "view: Mol* comes with the package ipymolstar, whose module molviewspec.js is not "
            f"installed here ({error}); pip install 'provis_fast[view]'"
        ) from None


@cache
def _licences() -> list[dict[str, str]]:
    """Licences of what the page carries, each with its text."""
    found = metadata.distribution("ipymolstar")
    named = [file for file in found.files or () if file.name.startswith("LICENSE")]
    ipymolstar = named[0].read_text(encoding="utf-8") if named else found.metadata["License"]
    # The terms of the MIT licence are the same for each; its holders differ.
    terms = ipymolstar[ipymolstar.index("Permission is hereby granted") :]
    return [
        {
            "title": "Mol* (molstar.org), MIT",
            "text": f"The MIT License\n\n{_MOLSTAR_COPYRIGHT}\n\n{terms}",
        },
        {
            "title": f"ipymolstar {found.version}, MIT",
            "text": ipymolstar,
        },
        {
            "title": "Libraries inside Mol*",
            "text": "React, MIT: the terms above, "
            f"{_REACT_COPYRIGHT}.\nRxJS, Apache License 2.0 (apache.org/licenses/LICENSE-2.0).\n"
            "Mol*'s package lists all of them (molstar.js.LICENSE.txt).",
        },
    ]


def _ascii_script(code: str) -> str:
    """The same program, so that it, and its hash, is right in a frame of a page in any encoding."""
    return re.sub(r"[^\x00-\x7f]", lambda found: json.dumps(found[0])[1:-1], code)


def _policy(code: str) -> str:
    """What the page may do: run its own script, and import what it has unpacked; no network.

    The script is allowed by its hash, so that no other runs, were there one in a name of a file.
    Mol* makes functions from text when it starts (its video encoder does), hence unsafe-eval.
    """
    digest = base64.b64encode(hashlib.sha256(code.encode("utf-8")).digest()).decode("ascii")
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'sha256-{digest}' blob: 'unsafe-eval'",
            "style-src 'unsafe-inline'",
            "img-src data: blob:",
            "font-src data:",
            "connect-src data: blob:",
            "worker-src blob:",
            "form-action 'none'",
            "base-uri 'none'",
        )
    )


def render(payload: dict) -> str:
    """Write the page of a view.

    Parameters
    ----------
    payload : dict
        What the page shows, ready for JSON: format "provis_fast.view", version 1 (`View` makes it).

    Returns
    -------
    str
        HTML, complete in itself: it asks for nothing over a network, and cannot.

    Raises
    ------
    ArgumentError
        `ipymolstar`, which brings Mol*, is not installed.
    """
    import jinja2

    code = _ascii_script("\n".join(_own(name) for name in SCRIPTS))
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    content = json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    licences = json.dumps(_licences())
    page = environment.from_string(_own("page.html.j2")).render(
        title=payload["title"],
        generator=f"provis_fast {payload['created_with']['provis_fast']}",
        policy=_policy(code),
        css=jinja2.utils.markupsafe.Markup("\n".join(_own(name) for name in STYLES)),
        code=jinja2.utils.markupsafe.Markup(code),
        packages={
            "payload": _packed(content.encode("utf-8")),
            "licences": _packed(licences.encode("utf-8")),
            **_molstar(),
        },
    )
    return page.encode("ascii", "xmlcharrefreplace").decode("ascii")
