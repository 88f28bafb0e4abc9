"""Predicted structures: how much a model trusts each residue, and leaving out what it does not.

AlphaFold and its kin write pLDDT, an estimate of the local distance difference test from 0 to 100,
into mmCIF's ``_ma_qa_metric_local`` (ModelCIF), and into the column of B-factors. Below 70 the
backbone is not to be relied upon, below 50 the residue is probably disordered (Jumper et al.,
Nature 596, 583, 2021; Tunyasuvunakool et al., Nature 596, 590, 2021).

A structure that says how it was determined (EXPDTA, _exptl) or refined is an experimental one,
whatever else it says: many of them mention the prediction that their refinement began with.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import gemmi
import numpy as np

from provis_fast.errors import InputError
from provis_fast.proteins.atoms import BACKBONE, ModelAtoms
from provis_fast.proteins.polymer import Chain

#: How AlphaFold's own database names its files.
_FILE_NAME = re.compile(r"AF-[A-Z0-9-]+-F\d+-model_v\d+\b")
_NAMED = re.compile(r"alphafold", re.IGNORECASE)
_NOT_GIVEN = ("", "?", ".")


def is_predicted(block: gemmi.cif.Block | None, raw: bytes, name: str) -> bool:
    """Whether an entry is a model of AlphaFold's, by its own word.

    Parameters
    ----------
    block : gemmi.cif.Block or None
        The entry's mmCIF block; None for the PDB format.
    raw : bytes
        The file in the PDB format.
    name : str
        The file's name, which tells where the content does not.

    Returns
    -------
    bool
        True for ModelCIF with a local pLDDT, a title, software or data set of that name, REMARK
        records that name it, and files named as AlphaFold's database names them; never for a
        structure that was determined by experiment.
    """
    if is_experimental(block, raw):
        return False
    if _FILE_NAME.match(name):
        return True
    if block is None:
        return any(_NAMED.search(line) for line in _records(raw, ("TITLE", "REMARK")))
    if _metric_ids(block):
        return True
    tags = (
        "_struct.title",
        "_ma_data.name",
        "_ma_model_list.model_name",
        "_software.name",
        "_ma_model_list.model_group_name",
    )
    return any(_NAMED.search(value) for tag in tags for value in block.find_values(tag))


def is_experimental(block: gemmi.cif.Block | None, raw: bytes) -> bool:
    """Whether an entry says how it was determined, or how it was refined."""
    if block is None:
        methods = [line[10:].strip() for line in _records(raw, ("EXPDTA",))]
        if any(method and "THEORETICAL" not in method.upper() for method in methods):
            return True
        return any(line.startswith("REMARK   3 ") for line in _records(raw, ("REMARK",)))
    methods = [gemmi.cif.as_string(value) for value in block.find_values("_exptl.method")]
    if any(m not in _NOT_GIVEN and "theoretical" not in m.lower() for m in methods):
        return True
    high = block.find_values("_refine.ls_d_res_high")
    return any(value not in _NOT_GIVEN for value in high)


def plddt_of(
    chains: Sequence[Chain], block: gemmi.cif.Block | None, atoms: ModelAtoms
) -> list[np.ndarray]:
    """pLDDT of an entry's chains, from its metric where it has one, else from its B-factors.

    Parameters
    ----------
    chains : sequence of Chain
    block : gemmi.cif.Block or None
        The entry's mmCIF block.
    atoms : ModelAtoms
        Its first model.

    Returns
    -------
    list of ndarray, float64 [L]
        From 0 to 100, NaN where there is none. If no value of the entry is above 1, they are taken
        as fractions of 100.

    Raises
    ------
    InputError
        If the values are not pLDDT: one is below 0 or above 100.
    """
    metric = _local_metric(block) if block is not None else {}
    where = "_ma_qa_metric_local" if metric else "the B-factors of C-alpha atoms"
    found = []
    for chain in chains:
        if metric:
            keys = [None if r is None else (chain.subchain, r.label_seq) for r in chain.residues]
            plddt = np.array([metric.get(key, np.nan) for key in keys])
        else:
            ca = atoms.backbone[chain.where().row_of_place(), BACKBONE.index("CA")]
            plddt = np.where(ca >= 0, atoms.b_factor[ca], np.nan).astype(np.float64)
        strange = ~np.isnan(plddt) & ~((plddt >= 0) & (plddt <= 100))
        if strange.any():
            raise InputError(
                f"chain {chain.name}: expected pLDDT from 0 to 100 in {where}, got "
                f"{plddt[strange][0]:g}; if the file has none, read it with plddt='none'"
            )
        found.append(plddt)
    largest = max((np.nanmax(plddt, initial=0.0) for plddt in found), default=0.0)
    if largest <= 1:
        found = [plddt * 100 for plddt in found]
    # B-factors came as float32, where 0.7 is less than 0.7.
    return [np.round(plddt, 4) for plddt in found]


def leave_out_uncertain(chain: Chain, plddt: np.ndarray, least: float) -> np.ndarray:
    """Take the residues of low confidence as unresolved, and note how many there are.

    Parameters
    ----------
    chain : Chain
        Changed in place.
    plddt : ndarray, float64 [L]
        NaN is no confidence at all.
    least : float
        Residues below it are left out.

    Returns
    -------
    ndarray, int64
        Rows of these residues in the model's `ModelAtoms`.
    """
    uncertain = chain.resolved & ~(plddt >= least)
    rows = chain.forget(uncertain)
    if uncertain.any():
        n = int(uncertain.sum())
        chain.notes.append(
            f"predicted structure: {n} of {len(plddt)} residues have a pLDDT below {least:g}; "
            "what is told by their coordinates is unknown"
        )
    return rows


def _records(raw: bytes, names: Sequence[str]) -> list[str]:
    """Lines of these records before the first atom of a PDB file."""
    end = re.search(rb"^(?:ATOM  |HETATM)", raw, re.MULTILINE)
    head = raw[: end.start()] if end else raw
    return [line for line in head.decode("latin-1").splitlines() if line.startswith(tuple(names))]


def _metric_ids(block: gemmi.cif.Block) -> set[str]:
    """Ids of local pLDDT metrics."""
    table = block.find("_ma_qa_metric.", ["id", "mode", "name", "?type"])
    return {
        row.str(0)
        for row in table
        if row.str(1).lower() == "local"
        and "plddt" in (row.str(2) + (row.str(3) if row.has(3) else "")).lower()
    }


def _local_metric(block: gemmi.cif.Block) -> dict[tuple[str, int] | None, float]:
    """Local pLDDT of the first model, by label_asym_id and label_seq_id."""
    ids = _metric_ids(block)
    if not ids:
        return {}
    table = block.find(
        "_ma_qa_metric_local.", ["label_asym_id", "label_seq_id", "metric_id", "metric_value"]
    )
    found: dict[tuple[str, int] | None, float] = {}
    for row in table:
        if row.str(2) not in ids:
            continue
        try:
            number, value = int(row.str(1)), float(row.str(3))
        except ValueError:
            raise InputError(
                f"_ma_qa_metric_local: expected a residue's number and a pLDDT, got {row.str(1)!r} "
                f"and {row.str(3)!r}; correct or remove the row"
            ) from None
        found.setdefault((row.str(0), number), value)  # the first model comes first
    return found
