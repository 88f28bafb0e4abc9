"""Proteins: records, and the file formats that they come from."""

from provis_fast.proteins.bundled import DEMO_SETS, demo_set, demo_structure
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
    "demo_structure",
    "load_proteins",
]
