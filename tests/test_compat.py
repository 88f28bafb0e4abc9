"""compat="provis" against a plain nested loop over residue pairs."""

from __future__ import annotations

import pickle

import analysis_cases
import numpy as np
import pytest
import tiny_models
import torch

import provis_fast as pf
from provis_fast.models import Model
from provis_fast.properties import REGISTRY

lmdb = pytest.importorskip("lmdb")

THETA = 0.3


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bert")
    return pf.load_model(analysis_cases.save_bert(folder, positions=512, layers=2), device="cpu")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A TAPE data set of chains with site labels; one is longer than 510 residues."""
    folder = tmp_path_factory.mktemp("tape") / "binding_site_valid.lmdb"
    rng = np.random.default_rng(0)
    with lmdb.open(str(folder), map_size=1 << 24) as environment:
        with environment.begin(write=True) as transaction:
            for number, n in enumerate([40, 600, 7, 120, 150]):
                letters = list(analysis_cases.AMINO_ACIDS + "XUZOB")
                record = {
                    "id": f"chain{number}",
                    "primary": "".join(rng.choice(letters, n)),
                    "positions": list(range(11, n + 11)),
                    "sites": sorted(set((rng.integers(0, n, n // 4) + 11).tolist())),
                }
                transaction.put(str(number).encode(), pickle.dumps(record))
            transaction.put(b"num_examples", pickle.dumps(5))
    return pf.load_proteins(folder)


def nested_loop(model, proteins, value):
    """Paper, eq. 1: sum over pairs of f(i, j) 1[a(i, j) >= theta], and of 1[a(i, j) >= theta].

    `value(protein, i, j)` names the class that pair (i, j) is in, or None. Returns the arcs, the
    arcs in each class, and how many pairs lie within 1e-5 of the threshold.
    """
    arcs, in_class, near = 0, {}, 0
    for protein in proteins:
        sequence = protein.sequence[:510]
        tokens = torch.from_numpy(model.tokens.encode(sequence))
        attention = analysis_cases.float64_attention(model.module, tokens)[:, :, 1:-1, 1:-1]
        near += int((np.abs(attention - THETA) <= 1e-5).sum())
        above = (attention >= THETA).astype(np.int64)
        arcs = arcs + above.sum((2, 3))
        somewhere = above.any((0, 1))
        for i in range(len(sequence)):
            for j in range(len(sequence)):
                name = value(protein, i, j) if somewhere[i, j] else None
                if name is not None:
                    in_class[name] = in_class.get(name, 0) + above[:, :, i, j]
    return arcs, in_class, near


def test_sites_and_letters_of_a_tape_data_set(model, corpus):
    result = pf.analyze(
        model, corpus, ["binding_site", "amino_acid"], THETA, compat="provis", batch_tokens=300
    )
    proteins = list(corpus)
    assert max(map(len, proteins)) > 510

    def site(protein, i, j):
        return "binding_site" if protein.labels["binding_site"][j] == 1 else None

    arcs, sites, near = nested_loop(model, proteins, site)
    _, letters, _ = nested_loop(model, proteins, lambda protein, i, j: protein.sequence[j])
    assert arcs.sum() >= 1000
    assert near == 0
    np.testing.assert_array_equal(result.arcs, arcs)
    np.testing.assert_array_equal(result.eligible["binding_site"], arcs)
    np.testing.assert_array_equal(result.counts["binding_site"][..., 0], sites["binding_site"])
    np.testing.assert_array_equal(result.eligible["amino_acid"], arcs)
    classes = next(spec.classes for spec in result.properties if spec.name == "amino_acid")
    assert set("XUZOB") < set(classes) and "other" not in classes
    for c, letter in enumerate(classes):
        np.testing.assert_array_equal(
            result.counts["amino_acid"][..., c], letters.get(letter, 0), err_msg=letter
        )
    # The background is that of whole proteins, not of what was cut.
    labels = np.concatenate([p.labels["binding_site"] for p in proteins])
    assert result.background["binding_site"][0] == (labels == 1).sum() / (labels >= 0).sum()
    assert result.compat == "provis"
    assert result.residues == 40 + 510 + 7 + 120 + 150
    assert "chain1: cut from 600 to 510 residues" in result.notes


def test_unknown_counts_as_negative_and_contacts_are_contact_maps(model):
    proteins = analysis_cases.random_proteins([60, 90, 530], seed=2)
    names = ["contact", "secondary_structure", "separation", "binding_site"]
    result = pf.analyze(model, proteins, names, THETA, compat="provis")

    def contact(protein, i, j):
        distance = np.linalg.norm(protein.ca[i].astype(float) - protein.ca[j].astype(float))
        return "contact" if abs(i - j) >= 6 and distance < 8 else None

    def structure(protein, i, j):
        return int(protein.labels["secondary_structure"][j])

    arcs, contacts, near = nested_loop(model, proteins, contact)
    _, states, _ = nested_loop(model, proteins, structure)
    assert near == 0 and contacts["contact"].sum() > 100
    np.testing.assert_array_equal(result.counts["contact"][..., 0], contacts["contact"])
    for state in range(4):
        np.testing.assert_array_equal(
            result.counts["secondary_structure"][..., state], states[state]
        )
    for name in names:
        np.testing.assert_array_equal(result.eligible[name], arcs)
    usual = pf.analyze(model, proteins, names, THETA, max_length=530 - 20)
    assert (usual.eligible["contact"] < arcs).any()


def test_masked_residues_keep_their_secondary_structure(model, tmp_path):
    """The original never looked at valid_mask there: not in the arcs, not in the background."""
    rng = np.random.default_rng(7)
    lengths = [60, 90, 150, 600]
    with lmdb.open(str(tmp_path / "secondary_structure.lmdb"), map_size=1 << 24) as environment:
        with environment.begin(write=True) as transaction:
            for number, n in enumerate(lengths):
                record = {
                    "id": f"chain{number}",
                    "primary": "".join(rng.choice(list(analysis_cases.AMINO_ACIDS), n)),
                    "ss3": rng.integers(0, 3, n),
                    "ss8": rng.integers(0, 8, n),
                    "valid_mask": np.arange(n) % 2 == 0,
                }
                transaction.put(str(number).encode(), pickle.dumps(record))
            transaction.put(b"num_examples", pickle.dumps(len(lengths)))
    proteins = list(pf.load_proteins(tmp_path))
    names = ["secondary_structure", "secondary_structure_query"]
    result = pf.analyze(model, tmp_path, names, THETA, compat="provis")

    def of_key(protein, i, j):
        return int(protein.labels["secondary_structure_unmasked"][j])

    def of_query(protein, i, j):
        return of_key(protein, j, i)

    labels = np.concatenate([p.labels["secondary_structure_unmasked"] for p in proteins])
    for name, value in zip(names, (of_key, of_query), strict=True):
        arcs, states, near = nested_loop(model, proteins, value)
        assert near == 0 and arcs.sum() >= 1000
        np.testing.assert_array_equal(result.eligible[name], arcs)
        for state in range(4):
            np.testing.assert_array_equal(result.counts[name][..., state], states[state])
        np.testing.assert_array_equal(
            result.background[name], np.bincount(labels, minlength=4) / sum(lengths)
        )
    usual = pf.analyze(model, proteins, names, THETA, max_length=510)
    assert (usual.counts[names[0]].sum(-1) < arcs).any()


def test_background_of_another_corpus(model):
    proteins, others = (analysis_cases.random_proteins([50, 30], seed=s) for s in (3, 4))
    others.append(pf.Protein(others[0].id, "ACD"))  # a repeated id: noted, not counted
    names = ["binding_site", "contact", "amino_acid"]
    result = pf.analyze(model, proteins, names, compat="provis", background=others)
    own = pf.analyze(model, proteins, names, compat="provis")
    expected = pf.analyze(model, others[:2], names, compat="provis").background
    for name in names:
        np.testing.assert_array_equal(result.background[name], expected[name])
        np.testing.assert_array_equal(result.counts[name], own.counts[name])
        np.testing.assert_array_equal(result.moments[name].nb, own.moments[name].nb)
    assert any(note.startswith("background: p0 failed") for note in result.notes)
    with pytest.raises(pf.errors.ResultError, match="background"):
        pf.merge([result, own])


class _Interrupted:
    """A corpus at whose second protein somebody presses Ctrl-C."""

    def digests(self):
        return [{"path": "other", "sha256": "d", "bytes": 1}]

    def records(self):
        yield pf.Protein("a", "ACDEF", labels={"binding_site": [1] * 5})
        raise KeyboardInterrupt


def test_interrupted_the_background_is_that_of_its_corpus_or_none(model):
    proteins, others = (analysis_cases.random_proteins([50] * 4, seed=s) for s in (3, 4))
    names = ["binding_site", "amino_acid"]

    def stop(proteins, tokens, total):
        if proteins == 2:
            raise KeyboardInterrupt

    options = dict(compat="provis", batch_tokens=60)
    with pytest.raises(pf.engine.Interrupted) as caught:
        pf.analyze(model, proteins, names, background=others, progress=stop, **options)
    partial = caught.value.partial
    whole = pf.analyze(model, proteins, names, background=others, **options)
    assert (partial.analysed, partial.complete) == (2, False)
    assert partial.options == whole.options and "background" in partial.options
    for name in names:
        np.testing.assert_array_equal(partial.background[name], whole.background[name])
    own = pf.analyze(model, proteins, names, **options)
    with pytest.raises(pf.errors.ResultError, match="background"):
        pf.merge([partial, own], allow_partial=True, allow_overlap=True)

    with pytest.raises(pf.engine.Interrupted) as caught:
        pf.analyze(model, proteins, names, background=_Interrupted(), **options)
    partial = caught.value.partial
    assert partial.options["background"] == _Interrupted().digests() and not partial.analysed
    assert all(np.isnan(partial.background[name]).all() for name in names)


def test_every_property_but_values_can_be_asked_for(model):
    values = {"hydrophobicity", "charge", "volume", "solvent_exposure", "plddt"}
    names = [name for name in REGISTRY if name not in values]
    result = pf.analyze(model, analysis_cases.random_proteins([40]), names, compat="provis")
    assert [spec.name for spec in result.properties] == names


def test_sites_of_xlnet_are_read_one_place_late(tmp_path, corpus):
    """A residue has the label of the one before it; the background does not know of that."""
    encoder = tiny_models.tiny("xlnet", factor=18.0)
    xlnet = Model(encoder, tiny_models.esm_tokenizer(tmp_path), "an XLNet")
    names = ["binding_site", "amino_acid"]
    result = pf.analyze(xlnet, corpus, names, THETA, compat="provis")
    plain = pf.analyze(xlnet, corpus, names, THETA, max_length=510)
    late = []
    for protein in corpus:
        labels = np.concatenate([[-1], protein.labels["binding_site"][:-1]])
        shifted = {"binding_site": labels}
        late.append(pf.Protein(protein.id, protein.sequence, labels=shifted))
    expected = pf.analyze(xlnet, late, names, THETA, max_length=510)
    counts = result.counts["binding_site"]
    assert counts.sum() > 200
    np.testing.assert_array_equal(counts, expected.counts["binding_site"])
    assert not np.array_equal(counts, plain.counts["binding_site"])
    np.testing.assert_array_equal(result.eligible["binding_site"], result.arcs)
    labels = np.concatenate([p.labels["binding_site"] for p in corpus])
    assert result.background["binding_site"][0] == (labels == 1).sum() / (labels >= 0).sum()
    spec = next(spec for spec in result.properties if spec.name == "binding_site")
    assert spec.options == {"one_late": True}
