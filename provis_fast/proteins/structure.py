"""PDB and mmCIF files: one protein per amino-acid chain of the first model."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import gemmi
import numpy as np

from provis_fast.errors import NOTED, InputError
from provis_fast.proteins.alphafold import (
    is_experimental,
    is_predicted,
    leave_out_uncertain,
    plddt_of,
)
from provis_fast.proteins.atoms import ModelAtoms
from provis_fast.proteins.binding_sites import BindingSites, site_record_labels
from provis_fast.proteins.completeness import (
    check_mmcif_is_complete,
    check_pdb_coordinates,
    check_pdb_is_complete,
)
from provis_fast.proteins.exposure import SolventExposure
from provis_fast.proteins.formats import Reading
from provis_fast.proteins.modifications import Modifications
from provis_fast.proteins.opening import read_bytes
from provis_fast.proteins.polymer import CA, CB, Chain, is_amino_acid, read_chains
from provis_fast.proteins.record import LazyLabels, LazyValues, Protein, SetAside
from provis_fast.proteins.secondary_structure import (
    SecondaryStructure,
    author_secondary_structure,
)

logger = logging.getLogger(__name__)


class Entry(NamedTuple):
    """An entry that has been read: what its records, and views of it, are made of.

    Attributes
    ----------
    id : str
    structure : gemmi.Structure
        With entities set up.
    chains : list of Chain
        Amino-acid chains of the first model, in the file's order.
    names : list of str
        What they are called, each once: author names, as a rule.
    proteins : list of Protein
        One per chain.
    """

    id: str
    structure: gemmi.Structure
    chains: list[Chain]
    names: list[str]
    proteins: list[Protein]


def read_pdb(path: Path, source: str, reading: Reading) -> Iterator[Protein | SetAside]:
    """Read a PDB file; see `read_structure`."""
    return read_structure(path, source, "pdb", reading)


def read_mmcif(path: Path, source: str, reading: Reading) -> Iterator[Protein | SetAside]:
    """Read an mmCIF file; see `read_structure`."""
    return read_structure(path, source, "mmcif", reading)


def read_structure(
    path: Path, source: str, file_format: str, reading: Reading | None = None
) -> Iterator[Protein | SetAside]:
    """Read an entry.

    Parameters
    ----------
    path : Path
        The file; compressed (gzip) or not, whatever its name.
    source : str
        What to call the file in records.
    file_format : {"pdb", "mmcif"}
        How to read it.
    reading : Reading, optional
        What to make of predicted structures.

    Yields
    ------
    Protein or SetAside
        One per amino-acid chain of the first model, in the file's order, with id ENTRY_CHAIN. Every
        protein has the labels ``secondary_structure``, ``binding_site`` and ``modification`` and
        the values ``solvent_exposure``, all computed when asked for, and, where the file has such
        records, the labels ``author_secondary_structure`` and ``site_record``. A predicted
        structure has the values ``plddt``, and its residues below `Reading.min_plddt` count as
        unresolved.

    Raises
    ------
    InputError
        If the file cannot be read, is empty, is not of this format, is cut off, or has no atoms.
    """
    structure, block, raw = _read(path, file_format)
    yield from records_of(structure, block, raw, path, source, reading or Reading())


def read_entry(path: Path, source: str, file_format: str, reading: Reading) -> Entry:
    """Read an entry as a whole; parameters and errors as of `read_structure`."""
    structure, block, raw = _read(path, file_format)
    return entry_of(structure, block, raw, path, source, reading)


def _read(path: Path, file_format: str) -> tuple[gemmi.Structure, gemmi.cif.Block | None, bytes]:
    raw = read_bytes(path)
    if not raw.strip():
        raise InputError("the file is empty", path)
    if not raw.isascii():
        raw = _readable_text(raw, file_format)
    return *_parse(raw, path, file_format), raw


def records_of(
    structure: gemmi.Structure,
    block: gemmi.cif.Block | None,
    raw: bytes,
    path: Path,
    source: str,
    reading: Reading,
) -> Iterator[Protein | SetAside]:
    """Records of an entry that has been parsed; see `read_structure`.

    Parameters
    ----------
    structure : gemmi.Structure
        The entry, as gemmi reads it.
    block : gemmi.cif.Block or None
        Its mmCIF block; None for the PDB format.
    raw : bytes
        The file in the PDB format; not looked at where there is a block.
    path, source, reading
        As in `read_structure`.
    """
    unmodelled: list[str] = []
    entry = entry_of(structure, block, raw, path, source, reading, unmodelled)
    if not entry.chains and not unmodelled:
        yield SetAside(entry.id, "skipped", "no amino-acid chain in the first model", source)
        return
    yield from entry.proteins
    for name in unmodelled:
        yield SetAside(
            _protein_id(entry.id, name),
            "failed",
            "its sequence is given, but the first model has no coordinates of it: not modelled, or "
            "the file is cut off",
            source,
        )


def entry_of(
    structure: gemmi.Structure,
    block: gemmi.cif.Block | None,
    raw: bytes,
    path: Path,
    source: str,
    reading: Reading,
    unmodelled: list[str] | None = None,
) -> Entry:
    """An entry that has been parsed.

    Parameters
    ----------
    structure, block, raw, path, source, reading
        As in `records_of`.
    unmodelled : list of str, optional
        Names of protein chains of which the first model has no coordinates are added here.
    """
    if len(structure) == 0 or structure[0].count_atom_sites() == 0:
        kind = "PDB" if block is None else "mmCIF"
        raise InputError(f"no atoms: this is not a {kind} file of a structure, or is cut off", path)
    name = PurePosixPath(source).name  # the path itself may be that of a temporary file
    entry = _entry_id(structure, name)
    structure.merge_chain_parts()  # a PDB file lists the ligands of all chains after all polymers
    absent = _chains_without_coordinates(structure) if block is None else []
    _set_up_entities(structure)
    try:
        atoms = ModelAtoms.of(structure)
        chains = read_chains(structure, atoms)
        names = _names(chains)
        plddt, left_out = _confidence(block, raw, name, atoms, chains, reading)
        proteins = list(
            _proteins(entry, source, structure, block, raw, atoms, chains, names, plddt, left_out)
        )
    except InputError as error:
        raise InputError(error.reason, path) from error
    except (RuntimeError, ValueError) as error:
        # gemmi's word for coordinates that are no numbers, and the like.
        raise InputError(f"the structure is not consistent: {error}", path) from error
    if unmodelled is not None:
        unmodelled += absent if block is None else _entities_without_coordinates(structure)
    return Entry(entry, structure, chains, names, proteins)


def _set_up_entities(structure: gemmi.Structure) -> None:
    """As gemmi does, which without SEQRES makes no entity of a chain that has no name."""
    chains = [chain for model in structure for chain in model if not chain.name]
    if any(not entity.name for entity in structure.entities):
        chains.clear()
    for chain in chains:
        chain.name = " "
    structure.setup_entities()
    for chain in chains:
        chain.name = ""


def _names(chains: list[Chain]) -> list[str]:
    """One author's name for two polymers is rare; then the second takes its label name along."""
    names: list[str] = []
    for chain in chains:
        names.append(chain.name if chain.name not in names else f"{chain.name}.{chain.subchain}")
    return names


def _confidence(
    block: gemmi.cif.Block | None,
    raw: bytes,
    name: str,
    atoms: ModelAtoms,
    chains: list[Chain],
    reading: Reading,
) -> tuple[list[np.ndarray] | None, np.ndarray]:
    """pLDDT of a predicted structure, and rows of the residues that are left out for it."""
    none_left_out = np.empty(0, dtype=np.int64)
    if reading.plddt == "none" or not chains:
        return None, none_left_out
    if reading.plddt == "b_factor":
        predicted = not is_experimental(block, raw)
    else:
        predicted = is_predicted(block, raw, name)
    if not predicted:
        return None, none_left_out
    plddt = plddt_of(chains, block, atoms)
    lost = [
        leave_out_uncertain(chain, values, reading.min_plddt)
        for chain, values in zip(chains, plddt, strict=True)
    ]
    return plddt, np.concatenate(lost)


def _readable_text(raw: bytes, file_format: str) -> bytes:
    """Replace what is not text, keeping the columns of PDB files; gemmi hands out UTF-8."""
    if file_format == "pdb":
        return raw.decode("latin-1").encode("ascii", "replace")
    return raw.decode("utf-8", "replace").encode("utf-8")


def _parse(
    raw: bytes, path: Path, file_format: str
) -> tuple[gemmi.Structure, gemmi.cif.Block | None]:
    try:
        if file_format == "pdb":
            check_pdb_is_complete(raw, path)
            check_pdb_coordinates(raw, path)
            return gemmi.read_pdb_string(raw), None
        document = gemmi.cif.read_string(raw)
        if len(document) == 0:
            raise InputError("not mmCIF: there is no data block", path)
        check_mmcif_is_complete(raw, path)
        return gemmi.make_structure_from_block(document[0]), document[0]
    except InputError:
        raise
    except (RuntimeError, ValueError, IndexError, KeyError) as error:
        line = re.match(r"\w*:(\d+):", str(error)) or re.search(r"in line (\d+)", str(error))
        raise InputError(
            f"cannot be parsed, damaged or cut off: {' '.join(str(error).split())}",
            path,
            int(line.group(1)) if line else None,
        ) from error


def _entry_id(structure: gemmi.Structure, name: str) -> str:
    info = structure.info
    entry = info["_entry.id"].strip() if "_entry.id" in info else ""
    if entry:
        return entry
    stem = re.sub(r"(\.gz|\.zst|\.pdb|\.ent|\.cif|\.mmcif|\.bcif)+$", "", name, flags=re.IGNORECASE)
    named_as_pdb = re.fullmatch(r"pdb(\d\w{3})", stem)  # pdb1abc.ent
    return named_as_pdb.group(1) if named_as_pdb else stem


def _protein_id(entry: str, chain_name: str) -> str:
    return f"{entry}_{chain_name}" if chain_name.strip() else entry


def _chains_without_coordinates(structure: gemmi.Structure) -> list[str]:
    """Protein chains of SEQRES that the model lacks; to be called before entities are merged."""
    present = {chain.name for chain in structure[0]}
    return [
        entity.name
        for entity in structure.entities
        if entity.name not in present
        and 2 * sum(map(is_amino_acid, entity.full_sequence)) > len(entity.full_sequence)
    ]


def _entities_without_coordinates(structure: gemmi.Structure) -> list[str]:
    """Label names (there are no author names) of protein chains without atoms in mmCIF."""
    present = {span.subchain_id() for chain in structure[0] for span in chain.subchains()}
    return [
        name
        for entity in structure.entities
        if entity.polymer_type in (gemmi.PolymerType.PeptideL, gemmi.PolymerType.PeptideD)
        for name in entity.subchains
        if name not in present
    ]


def _proteins(
    entry: str,
    source: str,
    structure: gemmi.Structure,
    block: gemmi.cif.Block | None,
    raw: bytes,
    atoms: ModelAtoms,
    chains: list[Chain],
    names: list[str],
    plddt: list[np.ndarray] | None,
    left_out: np.ndarray,
) -> Iterator[Protein]:
    if not chains:
        return
    places = [chain.where() for chain in chains]
    backbones = [chain.backbone(atoms) for chain in chains]
    prolines = [np.array([c == "PRO" for c in chain.components]) for chain in chains]
    dssp = SecondaryStructure(backbones, prolines)
    sites = BindingSites(atoms, places)
    modifications = Modifications(structure, block, atoms, places)
    exposure = SolventExposure(atoms, places, left_out)
    everywhere = {
        "author_secondary_structure": author_secondary_structure(structure, block, chains),
        "site_record": site_record_labels(raw, block, chains),
    }
    model_notes = _other_models(structure)
    for index, (chain, name, backbone) in enumerate(zip(chains, names, backbones, strict=True)):
        identifier = _protein_id(entry, name)
        notes = (*chain.notes, *model_notes)
        for note in notes:
            logger.warning("%s: %s: %s", source, identifier, note, extra=NOTED)
        cb = backbone[:, CB].copy()
        glycine = np.array([c == "GLY" for c in chain.components])
        cb[glycine] = backbone[glycine, CA]
        labels = {label: arrays[index] for label, arrays in everywhere.items() if arrays}
        yield Protein(
            identifier,
            chain.sequence,
            labels=LazyLabels(
                labels,
                {
                    "secondary_structure": partial(dssp.labels, index),
                    "binding_site": partial(sites.labels, index),
                    "modification": partial(modifications.labels, index),
                },
            ),
            values=LazyValues(
                {} if plddt is None else {"plddt": plddt[index]},
                {"solvent_exposure": partial(exposure.values, index)},
            ),
            ca=backbone[:, CA].copy(),
            cb=cb,
            residue_numbers=tuple(chain.numbers),
            source=source,
            notes=notes,
        )


def _other_models(structure: gemmi.Structure) -> tuple[str, ...]:
    """Note a later model that has more residues, as when atoms stand outside MODEL and ENDMDL."""
    counts = [sum(len(chain) for chain in model) for model in structure]
    if max(counts) <= counts[0]:
        return ()
    largest = counts.index(max(counts))
    return (
        f"only the first model is read: it has {counts[0]} residues, model {largest + 1} has "
        f"{counts[largest]}",
    )
