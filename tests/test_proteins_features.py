"""Labels from features, apart from any file."""

from __future__ import annotations

import re

import pytest
import uniprot_files
from uniprot_files import ENTRIES

from provis_fast.proteins.features import Feature, key_of, residue_labels


def test_names_of_features():
    for key, names in uniprot_files.NAMES.items():
        used = key not in ("CHAIN", "INTRAMEM")
        assert {key_of(name) for name in (key, *names[:2])} == ({key} if used else {None})
    assert key_of("METAL") == key_of("metal ion-binding site") == "METAL"
    assert key_of("x" * 10_000) is None


def test_order_of_features_does_not_matter():
    features = [Feature(f.key, f.location) for f in ENTRIES[0].features if key_of(f.key)]
    length = len(ENTRIES[0].sequence)
    forth, back = residue_labels(features, length), residue_labels(features[::-1], length)
    assert list(forth[0]) == list(back[0]) and forth[1] == back[1]
    assert all((forth[0][name] == back[0][name]).all() for name in forth[0])


@pytest.mark.parametrize(
    "location",
    ["0", "0..3", "4..6", "6", "3..2", "-1", "1..", "..3", "x", "", "999999999999", "1.5", "١"],
)
def test_positions_that_are_none(location):
    labels, (note,) = residue_labels([Feature("BINDING", location)], 5)
    assert not labels and re.search(r"\(.+\)", note)


def test_first_and_last_residue():
    labels, notes = residue_labels([Feature("BINDING", "1"), Feature("BINDING", "4..5")], 5)
    assert labels["binding_site"].tolist() == [1, 0, 0, 1, 1] and not notes
    labels, _ = residue_labels([Feature("DISULFID", "1..5"), Feature("DISULFID", "3..3")], 5)
    assert labels["disulfide"].tolist() == [1, 0, 1, 0, 1]


@pytest.mark.parametrize(
    ("location", "unknown"),
    [
        ("<1..3", [1, 2, 3]),
        ("7..>10", [7, 8, 9, 10]),
        ("?..3", [1, 2, 3]),
        ("7..?", [7, 8, 9, 10]),
        ("?8..9", [1, 2, 3, 4, 7, 8, 9]),
        ("?", [1, 2, 3, 4, 7, 8, 9, 10]),
        ("4..?,<3..3", [1, 2, 3, 4, 7, 8, 9, 10]),
        ("P12345-2:1..3", []),
        ("11..12", []),
    ],
)
def test_what_an_uncertain_feature_may_cover_is_not_negative(location, unknown):
    features = [Feature("DOMAIN", location), Feature("DOMAIN", "5..6")]
    labels, (note,) = residue_labels(features, 10)
    want = [1 if i in (5, 6) else -1 if i in unknown else 0 for i in range(1, 11)]
    assert labels["domain"].tolist() == want and location in note
    assert residue_labels(features[::-1], 10)[0]["domain"].tolist() == want
    assert not residue_labels(features[:1], 10)[0]  # nothing else is annotated: all is unknown


def test_an_uncertain_helix_between_others():
    features = [Feature("HELIX", "1..2"), Feature("STRAND", "8..9"), Feature("HELIX", "4..?5")]
    labels, _ = residue_labels(features, 10)
    found = labels["author_secondary_structure"].tolist()
    assert found == [0, 0, 3, -1, -1, -1, -1, 1, 1, -1]


def test_many_features_left_out_make_a_short_note():
    _, (note,) = residue_labels([Feature("BINDING", f"{i}..x") for i in range(1000)], 5)
    assert len(note) < 500 and note.endswith("and 992 more")
