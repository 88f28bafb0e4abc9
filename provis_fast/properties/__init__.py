"""Properties of residues and residue pairs; see `provis_fast.properties.base` for the idea."""

from __future__ import annotations

from provis_fast.properties.amino_acid import AminoAcid, AminoAcidPair, AminoAcidQuery
from provis_fast.properties.annotations import Annotation, AnnotationQuery
from provis_fast.properties.base import Property
from provis_fast.properties.batch import build_batch, encode_protein
from provis_fast.properties.columns import ColumnLabel, ColumnValue
from provis_fast.properties.contact import Contact
from provis_fast.properties.custom import ClassPair, KeyClass, KeyValue, Pair, QueryClass
from provis_fast.properties.registry import REGISTRY, resolve
from provis_fast.properties.separation import Separation

__all__ = [
    "REGISTRY",
    "AminoAcid",
    "AminoAcidPair",
    "AminoAcidQuery",
    "Annotation",
    "AnnotationQuery",
    "ClassPair",
    "ColumnLabel",
    "ColumnValue",
    "Contact",
    "KeyClass",
    "KeyValue",
    "Pair",
    "Property",
    "QueryClass",
    "Separation",
    "build_batch",
    "encode_protein",
    "resolve",
]
