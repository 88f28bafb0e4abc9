"""The numbers of the paper, as its repository's figures show them.

Kept in ``data/published/heads.json``, which says where they come from and how they were read:
percentages off the vector figures of salesforce/provis, for five models and three properties.
Secondary structure and single amino acids are not among them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from provis_fast.errors import ArgumentError, InputError

#: Models whose numbers the paper gives.
PUBLISHED_MODELS = ("tape-bert", "prot_bert", "prot_bert_bfd", "prot_albert", "prot_xlnet")
#: Proteins of each of the paper's analyses.
PUBLISHED_PROTEINS = 5000

_FORMAT, _FORMAT_VERSION = "provis_fast.published_heads", 1
_COLOURS = 128  # steps of the heat maps' colours from 0 to the largest value
_BAR = 0.005 / 100  # half of the last place to which a bar was read


@dataclass(frozen=True, eq=False)
class PublishedProperty:
    """What the paper shows of one property; layers and heads 0-based, shares rather than percent.

    Attributes
    ----------
    proportion : float64 [layers, heads]
        Share of a head's arcs on the property; NaN where the paper shows none (fewer than 100
        arcs).
    reading : float64 [layers, heads]
        By how much a share may be misread: half the last place of a bar, or a step of the heat
        map's colours.
    top_heads : tuple of (layer, head)
        The ten best, best first.
    background : float
    """

    proportion: NDArray[np.float64]
    reading: NDArray[np.float64]
    top_heads: tuple[tuple[int, int], ...]
    background: float


@dataclass(frozen=True, eq=False)
class PublishedModel:
    """What the paper shows of one model.

    Attributes
    ----------
    name : str
        One of `PUBLISHED_MODELS`.
    title : str
        As the paper writes it.
    n_layers, n_heads : int
    blosum62 : float or None
        Correlation of amino-acid attention with BLOSUM62, where the paper gives it.
    properties : mapping of str to PublishedProperty
        contact, binding_site, modification.
    """

    name: str
    title: str
    n_layers: int
    n_heads: int
    blosum62: float | None
    properties: Mapping[str, PublishedProperty]


@cache
def published(name: str) -> PublishedModel:
    """Published numbers of a model.

    Parameters
    ----------
    name : str
        One of `PUBLISHED_MODELS`.

    Raises
    ------
    ArgumentError
        The paper has no such model.
    InputError
        The file of the numbers is not the one that comes with this release.

    Examples
    --------
    >>> from provis_fast.reproduction import published
    >>> contact = published("tape-bert").properties["contact"]
    >>> contact.top_heads[0], contact.proportion[11, 3].round(4).item()
    ((11, 3), 0.4467)
    """
    if name not in PUBLISHED_MODELS:
        raise ArgumentError(
            f"model_name: the paper's models are {', '.join(PUBLISHED_MODELS)}; got {name!r}"
        )
    file = resources.files("provis_fast") / "data" / "published" / "heads.json"
    content = json.loads(file.read_text("utf-8"))
    found = (content.get("format"), content.get("format_version"))
    if found != (_FORMAT, _FORMAT_VERSION):
        raise InputError(
            f"expected format {_FORMAT} version {_FORMAT_VERSION}, got {found[0]!r} version "
            f"{found[1]!r}; install the package anew",
            str(file),
        )
    model = content["models"][name]
    properties = {
        prop: _property(entry, content["background"][prop])
        for prop, entry in model["properties"].items()
    }
    return PublishedModel(
        name, model["title"], model["layers"], model["heads"], model["blosum62"], properties
    )


def _property(entry: Mapping, background: float) -> PublishedProperty:
    proportion = np.array(entry["heads"], dtype=np.float64) / 100
    reading = np.full(proportion.shape, np.nanmax(proportion) / _COLOURS)
    top_heads = []
    for label, percent in entry["top_heads"]:
        layer, head = (int(number) - 1 for number in label.split("-"))
        proportion[layer, head], reading[layer, head] = percent / 100, _BAR
        top_heads.append((layer, head))
    return PublishedProperty(proportion, reading, tuple(top_heads), background / 100)


def published_name(model_name: str) -> str | None:
    """The paper's name of a model, told by how it is called; None where the paper has none such.

    Examples
    --------
    >>> published_name("Rostlab/prot_bert"), published_name("models/tape_bert"), published_name("x")
    ('prot_bert', 'tape-bert', None)
    """
    called = PurePath(model_name).name.lower().replace("-", "_")
    return {name.replace("-", "_"): name for name in PUBLISHED_MODELS}.get(called)
