"""The paper's figures, from a result: no model and no display needed.

Every function takes a `HeadStatistics` and returns a `matplotlib.figure.Figure`; `caption` tells
what it shows, `save` writes it. Layers and heads are 0-based where they are arguments, and 1-based
in figures.

>>> from provis_fast import figures, load_result
>>> result = load_result("out/")  # doctest: +SKIP
>>> figure = figures.heat_map(result, "contact")  # doctest: +SKIP
>>> figures.caption(figure)  # doctest: +SKIP
>>> figures.save(figure, "contact.svg")  # doctest: +SKIP
"""

from __future__ import annotations

from provis_fast.figures.amino_acid_maps import amino_acids, similarity
from provis_fast.figures.best_heads import top_heads
from provis_fast.figures.by_layer import LayerProfile, layer_profiles, layers
from provis_fast.figures.captions import caption
from provis_fast.figures.head_maps import arcs_per_head, heat_map
from provis_fast.figures.planning import Planned, planned, save_all
from provis_fast.figures.profiles import separation, thresholds
from provis_fast.figures.saving import FORMATS, save

__all__ = [
    "FORMATS",
    "LayerProfile",
    "Planned",
    "amino_acids",
    "arcs_per_head",
    "caption",
    "heat_map",
    "layer_profiles",
    "layers",
    "planned",
    "save",
    "save_all",
    "separation",
    "similarity",
    "thresholds",
    "top_heads",
]
