"""A finished view: its data as tables, its page as text or file."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from provis_fast.errors import ArgumentError
from provis_fast.properties.contact import Contact
from provis_fast.viewing.chains import ViewChain
from provis_fast.viewing.forward import HeadArcs
from provis_fast.viewing.payload import payload_of
from provis_fast.written_pages import check_target, write_page

#: Of the frame in a notebook, in pixels.
_FRAME_HEIGHT = 860


@dataclass(frozen=True, eq=False, repr=False)
class View:
    """A structure with the arcs of all heads of a model; made by `provis_fast.view`.

    Attributes
    ----------
    title : str
    model : dict
        name, n_layers, n_heads.
    layer, head : int
        The head that the page opens with, from 0.
    threshold : float
        The least attention of an arc; the lower end of the page's slider.
    symmetric : bool
        Whether the page opens with the stronger of both directions of each pair.
    contact : Contact
    min_arcs : int
        Heads with fewer eligible arcs have no proportion.
    chains : tuple of ViewChain
    head_arcs : tuple of HeadArcs
        Of each chain.
    heads : DataFrame
        Contact statistics of every head for this structure, best first: layer, head (from 0), arcs,
        eligible, contacts, proportion, background; see `provis_fast.viewing.ranking`.
    mmcif : str
        What is shown of the structure.
    mmcif_note : str
    notes : tuple of str
    left_out : tuple of str
        Ids of chains that were to be shown and could not be; the notes say why.
    """

    title: str
    model: Mapping[str, Any]
    layer: int
    head: int
    threshold: float
    symmetric: bool
    contact: Contact
    min_arcs: int
    chains: tuple[ViewChain, ...]
    head_arcs: tuple[HeadArcs, ...]
    heads: pd.DataFrame
    mmcif: str
    mmcif_note: str
    notes: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    def __repr__(self) -> str:
        n = sum(len(arcs.weight) for arcs in self.head_arcs)
        ids = ", ".join(chain.id for chain in self.chains)
        return (
            f"View({self.title}: chain {ids}; {self.model['name']}; {n:,} arcs of at least "
            f"{self.threshold:g})"
        )

    @cached_property
    def arcs(self) -> pd.DataFrame:
        """Every arc of every head.

        Returns
        -------
        DataFrame
            chain (id), layer, head, query, key (all from 0), weight, query_residue, key_residue
            (author numbers; "" where unresolved), contact (boolean; <NA> where it is not known, or
            the residues are too near each other in the sequence). Chain by chain, then by layer,
            head and falling weight.
        """
        n_heads = self.model["n_heads"]
        parts = []
        for chain, arcs in zip(self.chains, self.head_arcs, strict=True):
            head = np.repeat(np.arange(len(arcs.starts) - 1), np.diff(arcs.starts.astype(np.int64)))
            query, key = arcs.query.astype(np.int64), arcs.key.astype(np.int64)
            numbers = np.array(chain.numbers, dtype=object)
            known = chain.eligible(query, key, self.contact.separation)
            contact = pd.arrays.BooleanArray(chain.in_contact(query, key), ~known)
            parts.append(
                pd.DataFrame(
                    {
                        "chain": chain.id,
                        "layer": head // n_heads,
                        "head": head % n_heads,
                        "query": query,
                        "key": key,
                        "weight": arcs.weight,
                        "query_residue": numbers[query],
                        "key_residue": numbers[key],
                        "contact": contact,
                    }
                )
            )
        return pd.concat(parts, ignore_index=True)

    @cached_property
    def payload(self) -> dict[str, Any]:
        """The data that the page embeds; see `provis_fast.viewing.payload`."""
        return payload_of(self)

    def html(self) -> str:
        """The page: one file that needs no network.

        Raises
        ------
        ArgumentError
            The package that brings the viewer is not installed.
        """
        from provis_fast.viewing.page import render

        return render(self.payload)

    def save(self, path: str | PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the page.

        Parameters
        ----------
        path : str or path
            The file; its parents are created, an earlier view is replaced.
        overwrite : bool
            Replace whatever file stands there.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        ArgumentError
            An empty name; or the viewer's package is not installed.
        ResultError
            The place cannot be written, or holds a file that is no page of this package.
        """
        target = check_target(path, "view", overwrite)
        write_page(self.html(), target)
        return target

    def _repr_html_(self) -> str:
        """The page in a frame, for a notebook; without the viewer's package, how to get it."""
        try:
            page = self.html()
        except ArgumentError as error:
            return f"<p>{html.escape(str(error))}</p>"
        return (
            f'<iframe srcdoc="{html.escape(page)}" title="{html.escape(self.title)}" '
            f'style="width: 100%; height: {_FRAME_HEIGHT}px; border: 0" '
            'sandbox="allow-scripts allow-downloads"></iframe>'
        )
