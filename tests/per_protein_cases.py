"""An analysis with tables of single proteins, and its files."""

from __future__ import annotations

import analysis_cases
import numpy as np

import provis_fast as pf

LENGTHS = [40, 3, 90, 1, 60, 25]
TABLES = ("counts", "received", "arcs")
KEY = ["record", "protein", "layer", "head"]


def values(protein):
    found = np.sin(np.arange(len(protein))) * 3
    found[::7] = np.nan
    return found


def site(protein):
    return protein.labels.get("binding_site")


#: All six kinds, and values that are not known everywhere.
PROPERTIES = (
    "amino_acid",
    "secondary_structure_query",
    pf.ClassPair("site_pair", ("out", "in"), site),
    pf.KeyValue("depth", values),
    "contact",
    "separation",
)


def proteins(lengths=LENGTHS):
    return analysis_cases.random_proteins(lengths)


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*.parquet"))
    }


def save_fasta(path, found):
    path.write_text("".join(f">{p.id}\n{p.sequence}\n" for p in found))
    return path


def run_shard(model, source, index, of, target):
    """One shard of an analysis with all tables."""
    return pf.analyze(
        model,
        source,
        PROPERTIES,
        batch_tokens=150,
        shard=(index, of),
        per_protein=TABLES,
        per_protein_folder=target,
    )


def analysed(model, folder):
    """Result and folder of tables of an analysis with everything."""
    result = pf.analyze(
        model,
        proteins(),
        PROPERTIES,
        (0.7, 0.3),
        layers=[0, 2],
        weighting="both",
        batch_tokens=150,
        per_protein=TABLES,
        per_protein_folder=folder,
    )
    return result, folder
