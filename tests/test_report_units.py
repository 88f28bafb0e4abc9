"""Reports with clusters of proteins as the unit, and with replicates."""

from __future__ import annotations

from dataclasses import replace

import analysis_cases
import pytest

import provis_fast as pf
from provis_fast.cli import main
from provis_fast.errors import ArgumentError, ResultError

LENGTHS = (60, 60, 80, 80, 70, 70, 90, 50)
CLUSTERS = "abbacdca"


def analysed(model, folder, clusters):
    """The folder of a result whose proteins say which cluster they are in, with tables of them."""
    proteins = analysis_cases.random_proteins(list(LENGTHS))
    proteins = [replace(p, cluster=c) for p, c in zip(proteins, clusters, strict=True)]
    result = pf.analyze(
        model,
        proteins,
        ["amino_acid"],
        0.1,
        min_arcs=1,
        per_protein=("counts",),
        per_protein_folder=folder / "tables",
    )
    assert result.arcs.sum() > 1000
    result.save(folder / "result", folder / "tables")
    return folder / "result", [protein.id for protein in proteins]


@pytest.fixture(scope="module")
def without(esm, tmp_path_factory):
    return analysed(esm, tmp_path_factory.mktemp("without"), [None] * len(LENGTHS))


def test_clusters_of_a_file(without, tmp_path, capsys):
    folder, ids = without
    members = tmp_path / "cluster.tsv"
    members.write_text("".join(f"{c}\t{i}\n" for c, i in zip(CLUSTERS, ids, strict=True)))
    assert "protein-level t-test" in pf.report(folder, tmp_path / "a.html").read_text()
    arguments = ["report", str(folder), "--out", str(tmp_path / "b.html")]
    assert main([*arguments, "--clusters", str(members)]) == 0
    text = (tmp_path / "b.html").read_text()
    assert "cluster-level t-test" in text and "protein-level t-test" not in text
    assert "8 proteins in 4 clusters" in text
    assert "4 clusters of proteins: with fewer than 50" in text
    assert main([*arguments, "--clusters", str(tmp_path / "none.tsv")]) == 2
    assert "none.tsv" in capsys.readouterr().err


def test_clusters_need_tables_of_single_proteins(without, tmp_path):
    folder, _ = without
    result = pf.load_result(folder)
    result.save(tmp_path / "bare")
    members = tmp_path / "cluster.tsv"
    members.write_text("a\tb\n")
    with pytest.raises((ResultError, ArgumentError), match="per-protein counts"):
        pf.report(tmp_path / "bare", clusters=members)
    with pytest.raises(ArgumentError, match="per-protein counts"):
        pf.report(result, tmp_path / "page.html", clusters=members)


def test_clusters_of_the_input_are_the_unit_without_being_asked_for(esm, tmp_path):
    folder, _ = analysed(esm, tmp_path, CLUSTERS)
    text = pf.report(folder).read_text()
    assert "cluster-level t-test" in text and "8 proteins in 4 clusters" in text


def test_replicates_are_told_where_there_are_some(esm, tmp_path):
    proteins = analysis_cases.random_proteins([60] * 12)
    result = pf.analyze(
        esm, proteins, ["amino_acid"], 0.1, min_arcs=1, bootstrap=100, permutations=40
    )
    text = pf.report(result, tmp_path / "page.html").read_text()
    row = result.infer().sort_values("enrichment").iloc[-1]
    assert row[["bootstrap_low", "null_mean"]].notna().all()
    assert "(100 replicates) gives head" in text and "Bootstrap: 100 replicates" in text
    assert "shifted along each protein (40 times)" in text and "Permutations: 40" in text
    assert "bootstrap and permutations" in text
