"""A head's attention on a structure, as a page that needs nothing else.

`entries` reads a structure, `chains` says what is known of its residues, `mmcif` writes what is
shown of it; `forward` finds the arcs of all heads in one forward pass, `ranking` ranks the heads,
`payload` puts all that into the JSON that the page of `page` shows. `making` holds `view`.

>>> import provis_fast as pf
>>> view = pf.view("7CFN.cif", "esm2_t6_8M")  # doctest: +SKIP
>>> view.save("view.html")  # doctest: +SKIP
"""

from provis_fast.viewing.making import view
from provis_fast.viewing.result import View

__all__ = ["View", "view"]
