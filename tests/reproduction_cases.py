"""The paper's data sets in small, made up, in all their formats."""

from __future__ import annotations

from pathlib import Path

import analysis_cases
import numpy as np
from test_proteins_proteinnet import record_text
from test_proteins_tape import write_lmdb

N = 12
AMINO_ACIDS = list(analysis_cases.AMINO_ACIDS)


def _chains(seed: int, n: int = N, least: int = 60, most: int = 120):
    """Random sequences, each with its generator."""
    rng = np.random.default_rng(seed)
    for number, length in enumerate(rng.integers(least, most, n).tolist()):
        yield number, "".join(rng.choice(AMINO_ACIDS, length)), rng


def _walk(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.cumsum(rng.normal(size=(n, 3)) * 2, axis=0).astype(np.float32)


def proteinnet_records(seed: int = 1) -> list[dict]:
    return [
        {
            "id": f"net{number}".encode(),
            "primary": sequence,
            "tertiary": _walk(rng, len(sequence)),
            "valid_mask": rng.random(len(sequence)) > 0.1,
        }
        for number, sequence, rng in _chains(seed)
    ]


def secondary_structure_records(seed: int = 2) -> list[dict]:
    return [
        {
            "id": f"ss{number}".encode(),
            "primary": sequence,
            "ss3": rng.integers(0, 3, len(sequence)),
            "ss8": rng.integers(0, 8, len(sequence)),
            "valid_mask": np.ones(len(sequence), bool),
        }
        for number, sequence, rng in _chains(seed)
    ]


def site_records(key: str, seed: int) -> list[dict]:
    return [
        {
            "id": f"{key}{number}",
            "primary": sequence,
            "positions": list(range(5, len(sequence) + 5)),
            key: sorted(set((rng.integers(0, len(sequence), 9) + 5).tolist())),
        }
        for number, sequence, rng in _chains(seed)
    ]


def write_all(folder: Path, split: str = "train") -> Path:
    """A data folder as TAPE and provis lay it out."""
    sets = {
        "proteinnet/proteinnet": proteinnet_records(),
        "secondary_structure/secondary_structure": secondary_structure_records(),
        "binding_sites/binding_site": site_records("sites", 3),
        "protein_modifications/protein_modification": site_records("modifications", 4),
    }
    for name, records in sets.items():
        path = folder / f"{name}_{split}.lmdb"
        path.parent.mkdir(parents=True)
        write_lmdb(path, records)
    return folder


def proteinnet_text(records: list[dict]) -> str:
    """The same proteins as ProteinNet writes them: N, CA and C, in picometres."""
    texts = []
    for record in records:
        atoms = np.repeat(record["tertiary"], 3, axis=0) * 100
        atoms[0::3] += 120
        atoms[2::3] -= 120
        mask = "".join("+" if valid else "-" for valid in record["valid_mask"])
        texts.append(record_text(record["id"].decode(), record["primary"], atoms.T, mask))
    return "".join(texts)
