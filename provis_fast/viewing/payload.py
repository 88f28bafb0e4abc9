"""The data of a view as JSON: what the page embeds."""

from __future__ import annotations

import base64
import math
from typing import TYPE_CHECKING, Any

import numpy as np

import provis_fast

if TYPE_CHECKING:
    from provis_fast.viewing.chains import ViewChain
    from provis_fast.viewing.forward import HeadArcs
    from provis_fast.viewing.result import View

FORMAT = "provis_fast.view"
FORMAT_VERSION = 1


def payload_of(view: View) -> dict[str, Any]:
    """Everything that the page shows; layers and heads from 1.

    Arrays are ``{"dtype": name, "shape": list, "data": text}``: base64 of little-endian numbers.
    """
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "title": view.title,
        "created_with": {"provis_fast": provis_fast.__version__},
        "model": dict(view.model),
        "threshold": view.threshold,
        "layer": view.layer + 1,
        "head": view.head + 1,
        "symmetric": view.symmetric,
        "min_arcs": view.min_arcs,
        "contact": {
            "cutoff": view.contact.cutoff,
            "min_separation": view.contact.separation,
            "atom": view.contact.atom,
        },
        "structure": {"format": "mmcif", "data": view.mmcif, "note": view.mmcif_note},
        "chains": [
            _chain(chain, arcs) for chain, arcs in zip(view.chains, view.head_arcs, strict=True)
        ],
        "heads": [
            {
                "layer": row["layer"] + 1,
                "head": row["head"] + 1,
                "arcs": row["arcs"],
                "eligible": row["eligible"],
                "contacts": row["contacts"],
                "proportion": _number(row["proportion"]),
                "background": _number(row["background"]),
            }
            for row in view.heads.to_dict("records")
        ],
        "notes": list(view.notes),
    }


def _chain(chain: ViewChain, arcs: HeadArcs) -> dict[str, Any]:
    return {
        "id": chain.id,
        "label_asym": chain.label_asym,
        "name": chain.protein.id,
        "sequence": chain.protein.sequence,
        "numbers": chain.numbers,
        "residues": chain.residues,
        "label_seq": list(range(1, len(chain) + 1)),
        "ca": _array(chain.ca, "float32"),
        "contacts": _array(chain.contacts, "uint16"),
        "known": _array(chain.known, "uint8"),
        "tracks": [
            {
                "name": track.name,
                "classes": list(track.classes),
                "labels": _array(track.labels, "int16"),
            }
            for track in chain.tracks
        ],
        "arcs": {
            "starts": _array(arcs.starts, "uint32"),
            "query": _array(arcs.query, "uint16"),
            "key": _array(arcs.key, "uint16"),
            "weight": _array(arcs.weight, "float32"),
        },
    }


def _array(array: np.ndarray, dtype: str) -> dict[str, Any]:
    """An array in JSON, without loss: its numbers fit the dtype."""
    raw = np.ascontiguousarray(array, dtype=np.dtype(dtype).newbyteorder("<")).tobytes()
    return {
        "dtype": dtype,
        "shape": list(array.shape),
        "data": base64.b64encode(raw).decode("ascii"),
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
