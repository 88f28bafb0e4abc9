"""Proteins: records, and the file formats that they come from."""

from provis_fast.proteins.bundled import DEMO_SETS, demo_set
from provis_fast.proteins.record import (
    SECONDARY_STRUCTURE_CLASSES,
    LazyLabels,
    LazyValues,
    Protein,
    SetAside,
)
from provis_fast.proteins.source import ProteinSource, load_proteins

__all__ = [
    "DEMO_SETS",
    "SECONDARY_STRUCTURE_CLASSES",
    "LazyLabels",
    "LazyValues",
    "Protein",
    "ProteinSource",
    "SetAside",
    "demo_set",
    "load_proteins",
]
