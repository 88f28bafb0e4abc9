"""Properties whose labels come with the protein: structure, sites, modifications.

How the labels are made is told where the files are read, in `provis_fast.proteins`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from provis_fast.properties.base import KeyClassProperty, LabelProperty, QueryClassProperty
from provis_fast.proteins.record import SECONDARY_STRUCTURE_CLASSES

if TYPE_CHECKING:
    from provis_fast.proteins import Protein


class _Annotation(LabelProperty):
    """Labels found in ``protein.labels``; a protein without them is unknown throughout."""

    def __init__(
        self,
        name: str,
        classes: Sequence[str],
        source: str | None = None,
        prefer: str | None = None,
    ):
        super().__init__(name, classes)
        self.source, self.prefer = source or name, prefer
        self.one_late = False  # for compat="provis": residue i has the label of residue i - 1

    @property
    def label_names(self) -> tuple[str, ...]:
        """The labels that are preferred, and those that stand in for them."""
        return tuple(name for name in (self.prefer, self.source) if name is not None)

    def labels(self, protein: Protein) -> np.ndarray | None:
        """The protein's labels [L], or None."""
        for name in self.label_names:
            # Not get(), which would take a KeyError of whatever computes the labels for "none".
            if name in protein.labels:
                return protein.labels[name]
        return None

    def as_counted(self, encoded: np.ndarray) -> np.ndarray:
        """Class ids by which arcs are counted, [L]: shifted by one residue where `one_late`."""
        return np.concatenate([[-1], encoded[:-1]]) if self.one_late else encoded

    def options(self) -> dict[str, Any]:
        """What differs from the labels as they come: others preferred, or one residue late."""
        found = {"prefer": self.prefer, "one_late": self.one_late}
        return {name: value for name, value in found.items() if value}


class Annotation(_Annotation, KeyClassProperty):
    """Class of the key, from the labels that came with the protein.

    Parameters
    ----------
    name : str
    classes : sequence of str
        One class makes a binary property with labels 1, 0 and -1.
    source : str, optional
        Name among the protein's labels; default: `name`.
    prefer : str, optional
        Name of labels to take in place of `source` from a protein that has them.
    """


class AnnotationQuery(_Annotation, QueryClassProperty):
    """Class of the query, from the labels that came with the protein; see `Annotation`."""


def secondary_structure() -> Annotation:
    """Secondary structure of the key in four states, computed from coordinates (DSSP)."""
    return Annotation("secondary_structure", SECONDARY_STRUCTURE_CLASSES)


def secondary_structure_query() -> AnnotationQuery:
    """Secondary structure of the query in four states, computed from coordinates (DSSP)."""
    return AnnotationQuery(
        "secondary_structure_query", SECONDARY_STRUCTURE_CLASSES, "secondary_structure"
    )


def author_secondary_structure() -> Annotation:
    """Secondary structure of the key as the file's own records have it; they know no turns."""
    return Annotation("author_secondary_structure", SECONDARY_STRUCTURE_CLASSES)


def binding_site() -> Annotation:
    """Whether the key touches a ligand."""
    return Annotation("binding_site", ["binding_site"])


def site_record() -> Annotation:
    """Whether the key stands in one of the file's SITE records."""
    return Annotation("site_record", ["site_record"])


def modification() -> Annotation:
    """Whether the key is a modified residue or carries a glycan."""
    return Annotation("modification", ["modification"])
