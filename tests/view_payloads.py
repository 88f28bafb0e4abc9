"""Views of made-up proteins: bundles of helices, and attention drawn at random."""

from __future__ import annotations

import base64

import gemmi
import numpy as np

_RESIDUES = {
    "A": "ALA", "C": "CYS", "D": "ASP", "E": "GLU", "F": "PHE", "G": "GLY", "H": "HIS", "I": "ILE",
    "K": "LYS", "L": "LEU", "M": "MET", "N": "ASN", "P": "PRO", "Q": "GLN", "R": "ARG", "S": "SER",
    "T": "THR", "V": "VAL", "W": "TRP", "Y": "TYR",
}  # fmt: skip
# Backbone of an ideal alpha helix: distance from the axis (angstroms), angle (degrees) and height
# (angstroms) of each atom; 100 degrees and 1.5 angstroms from one residue to the next.
_HELIX = {
    "N": (1.55, -27.6, -0.87),
    "CA": (2.28, 0.0, 0.0),
    "C": (1.66, 26.3, 1.11),
    "O": (2.03, 20.5, 2.32),
}
_PER_HELIX = 18


def encoded(array: np.ndarray) -> dict:
    """An array as the page takes it: little-endian, in base64."""
    order = array.dtype.newbyteorder("<")
    return {
        "dtype": array.dtype.name,
        "shape": list(array.shape),
        "data": base64.b64encode(np.ascontiguousarray(array, dtype=order)).decode("ascii"),
    }


def _place(atom: str, i: int, n: int, shift: float) -> np.ndarray:
    """Where an atom of residue i of n is: helices up and down, side by side on a square."""
    helix, step = divmod(i, _PER_HELIX)
    side = max(1, round((n / _PER_HELIX) ** 0.5))
    radius, angle, height = _HELIX[atom]
    turn = np.deg2rad(angle + 100 * step)
    x, y, z = radius * np.cos(turn), radius * np.sin(turn), height + 1.5 * step
    if helix % 2:
        y, z = -y, 1.5 * _PER_HELIX - z  # turned around x: the next helix runs back
    row, column = divmod(helix, side)
    column = side - 1 - column if row % 2 else column
    return np.array([x + 9.5 * column + shift, y + 9.5 * row, z])


def _chain(name: str, sequence: str, shift: float, missing: tuple[int, ...]) -> gemmi.Chain:
    chain = gemmi.Chain(name)
    for i, letter in enumerate(sequence):
        if i in missing:
            continue
        residue = gemmi.Residue()
        residue.name = _RESIDUES[letter]
        # Numbered from 11; the residue after the twelfth is 22A.
        residue.seqid = gemmi.SeqId(_number(i))
        residue.label_seq = i + 1
        residue.subchain = name
        residue.entity_type = gemmi.EntityType.Polymer
        for atom_name in _HELIX:
            atom = gemmi.Atom()
            atom.name, atom.element = atom_name, gemmi.Element(atom_name[0])
            atom.pos = gemmi.Position(*_place(atom_name, i, len(sequence), shift))
            residue.add_atom(atom)
        chain.add_residue(residue)
    return chain


def _number(i: int) -> str:
    return f"{i + 11}" if i < 12 else "22A" if i == 12 else f"{i + 10}"


def _ligand(shift: float) -> gemmi.Residue:
    residue = gemmi.Residue()
    residue.name, residue.seqid, residue.subchain = "GOL", gemmi.SeqId("901"), "L"
    residue.entity_type = gemmi.EntityType.NonPolymer
    for k, name in enumerate(("C1", "O1", "C2", "O2", "C3", "O3")):
        atom = gemmi.Atom()
        atom.name, atom.element = name, gemmi.Element(name[0])
        atom.pos = gemmi.Position(shift + 5 + 1.2 * (k // 2), 1.3 * (k % 2) - 6, 10 + 0.6 * k)
        residue.add_atom(atom)
    return residue


def _mmcif(chains: list[gemmi.Chain], sequences: list[str]) -> str:
    structure = gemmi.Structure()
    structure.name = "CASE"
    model = gemmi.Model(1)
    for chain in chains:
        model.add_chain(chain)
    structure.add_model(model)
    for chain, sequence in zip(chains, sequences, strict=True):
        entity = gemmi.Entity(chain.name)
        entity.entity_type = gemmi.EntityType.Polymer
        entity.polymer_type = gemmi.PolymerType.PeptideL
        entity.full_sequence = [_RESIDUES[letter] for letter in sequence]
        entity.subchains = [chain.name]
        structure.entities.append(entity)
    ligand = gemmi.Entity("ligand")
    ligand.entity_type, ligand.subchains = gemmi.EntityType.NonPolymer, ["L"]
    structure.entities.append(ligand)
    return structure.make_mmcif_document().as_string()


def _arcs(rng, n: int, n_heads: int, per_head: int, threshold: float) -> dict:
    """Arcs of every head, strongest first; weights are squares, so that strong ones are rare."""
    starts, query, key, weight = [0], [], [], []
    for _ in range(n_heads):
        pairs = rng.choice(n * n, size=min(per_head, n * n // 2), replace=False)
        found = np.sort(threshold + (1 - threshold) * rng.random(len(pairs)) ** 3)[::-1]
        query.append(pairs // n)
        key.append(pairs % n)
        weight.append(found)
        starts.append(starts[-1] + len(pairs))
    return {
        "starts": encoded(np.array(starts, np.uint32)),
        "query": encoded(np.concatenate(query).astype(np.uint16)),
        "key": encoded(np.concatenate(key).astype(np.uint16)),
        "weight": encoded(np.concatenate(weight).astype(np.float32)),
    }


def view_payload(
    lengths: tuple[int, ...] = (72, 54),
    n_layers: int = 3,
    n_heads: int = 4,
    arcs_per_head: int = 400,
    threshold: float = 0.1,
    seed: int = 7,
    title: str = "CASE",
) -> dict:
    """What `page.render` takes, of chains A, B, ... and one more that is not in the view.

    Chain A lacks residue 5 (from 0), binds at residues 20-23 and is modified at 30.
    """
    rng = np.random.default_rng(seed)
    letters = [[*rng.choice(list(_RESIDUES), size=n)] for n in (*lengths, 36)]
    sequences = ["".join(some) for some in letters]
    names = [chr(ord("A") + k) for k in range(len(sequences))]
    shifts = np.cumsum([0, *(9.5 * max(1, round((n / _PER_HELIX) ** 0.5)) + 6 for n in lengths)])
    missing = [(5,), *((),) * len(lengths)]
    chains = [_chain(*one) for one in zip(names, sequences, shifts.tolist(), missing, strict=True)]
    chains[0].add_residue(_ligand(float(shifts[0])))
    described = []
    for c, n in enumerate(lengths):
        ca = np.array([_place("CA", i, n, float(shifts[c])) for i in range(n)], np.float32)
        known = np.ones(n, np.uint8)
        for i in missing[c]:
            ca[i], known[i] = np.nan, 0
        i, j = np.triu_indices(n, 6)
        near = np.linalg.norm(ca[i] - ca[j], axis=1) < 8
        site, modified = np.zeros(n, np.int16), np.zeros(n, np.int16)
        site[20:24], modified[30] = 1 if c == 0 else 0, 1 if c == 0 else 0
        described.append(
            {
                "id": names[c],
                "label_asym": names[c],
                "name": f"{title}_{names[c]}",
                "sequence": sequences[c],
                "numbers": ["" if k in missing[c] else _number(k) for k in range(n)],
                "residues": [_RESIDUES[letter] for letter in sequences[c]],
                "label_seq": list(range(1, n + 1)),
                "ca": encoded(ca),
                "contacts": encoded(np.stack([i[near], j[near]], 1).astype(np.uint16)),
                "known": encoded(known),
                "tracks": [
                    {
                        "name": "secondary_structure",
                        "classes": ["helix", "strand", "turn_bend"],
                        "labels": encoded(np.zeros(n, np.int16)),
                    },
                    {"name": "binding_site", "classes": ["binding_site"], "labels": encoded(site)},
                    {
                        "name": "modification",
                        "classes": ["modification"],
                        "labels": encoded(modified),
                    },
                ],
                "arcs": _arcs(rng, n, n_layers * n_heads, arcs_per_head, threshold),
            }
        )
    order = [(layer, head) for layer in range(1, n_layers + 1) for head in range(1, n_heads + 1)]
    heads = [
        {
            "layer": layer,
            "head": head,
            "arcs": arcs_per_head * len(lengths),
            "eligible": 0 if k == len(order) - 1 else 100,
            "contacts": 0 if k == len(order) - 1 else 60 - k,
            "proportion": None if k == len(order) - 1 else (60 - k) / 100,
            "background": 0.05,
        }
        for k, (layer, head) in enumerate(reversed(order))
    ]
    return {
        "format": "provis_fast.view",
        "format_version": 1,
        "title": title,
        "created_with": {"provis_fast": "0.1.0"},
        "model": {"name": "random", "n_layers": n_layers, "n_heads": n_heads},
        "threshold": threshold,
        "layer": 1,
        "head": 2,
        "symmetric": True,
        "contact": {"cutoff": 8.0, "min_separation": 6, "atom": "CA"},
        "structure": {
            "format": "mmcif",
            "data": _mmcif(chains, sequences),
            "note": "first model, made up",
        },
        "chains": described,
        "heads": heads,
        "notes": [],
    }
