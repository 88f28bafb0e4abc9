"""An analysis with tables of single proteins, and its files."""

from __future__ import annotations

import os

import analysis_cases
import numpy as np

import provis_fast as pf
from provis_fast.accumulate import Measures
from provis_fast.analysis_run import AnalysisRun
from provis_fast.per_protein.collecting import Wanted
from provis_fast.plan import PackPlanner
from provis_fast.units import Shard

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
    """One shard of an analysis, as an AnalysisRun has it."""
    measures = Measures.checked(PROPERTIES, 0.3, None, model.n_layers, model.n_heads)
    planner = PackPlanner(model, measures.properties, batch_tokens=150)
    result = measures.empty(model=model.summary())
    wanted = Wanted.checked(TABLES, target, None, "arcs")
    shard = Shard(index, of)
    with wanted.collected(measures, shard) as spool:
        source = pf.load_proteins(source) if isinstance(source, os.PathLike) else source
        run = AnalysisRun(model, measures, planner, result, source, shard=shard, spool=spool)
        run.serially()
        run.finish()
    return result
