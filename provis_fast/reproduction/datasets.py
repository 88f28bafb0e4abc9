"""The paper's data sets: where their files lie, where one gets them, and which proteins are drawn.

Every property has the data set that the paper measured it on:

======================  ==============================  ===========================================
data set                properties                      the paper's file, in the data folder
======================  ==============================  ===========================================
proteinnet              contact, amino_acid             proteinnet/proteinnet_train.lmdb (TAPE)
secondary_structure     secondary_structure             secondary_structure/
                                                        secondary_structure_train.lmdb (TAPE)
binding_sites           binding_site                    binding_sites/binding_site_train.lmdb
protein_modifications   modification                    protein_modifications/
                                                        protein_modification_train.lmdb
======================  ==============================  ===========================================

Where that one is missing another split is taken, and said so; for proteinnet also the text files of
ProteinNet itself. All of them may stand in the folder itself as well.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provis_fast.errors import InputError
from provis_fast.proteins import Protein, SetAside, load_proteins
from provis_fast.proteins.opening import first_bytes
from provis_fast.proteins.proteinnet import FIRST_SECTION, count_proteinnet
from provis_fast.proteins.proteinnet import read as read_proteinnet
from provis_fast.proteins.tape_lmdb import count_tape, read_tape_lmdb

_TAPE = "TAPE (https://github.com/songlab-cal/tape#lmdb-data)"
_PROVIS = "the repository of provis (https://github.com/salesforce/provis), folder data/"
_THINNINGS = (30, 50, 70, 90, 95, 100)  # per cent of identity; TAPE's training set is the first
_TEXT_SPLITS = (*(f"training_{n}" for n in _THINNINGS), "validation", "testing")


@dataclass(frozen=True)
class DataSet:
    """One of the paper's data sets.

    Attributes
    ----------
    name : str
        Also the folder in which its files usually lie.
    properties : tuple of str
        What the paper measured on it.
    stem : str
        Its files are called ``{stem}_{split}.lmdb``.
    splits : tuple of str
        In the order in which they are looked for; the first is the paper's.
    whence : str
        Where one gets it.
    background_residues : int or None
        The paper's background is over the first so many residues of every protein of the file.
        Its sites and modifications lost one more to a special token. None: over all of them.
    text : bool
        Whether ProteinNet's text files are taken too.
    """

    name: str
    properties: tuple[str, ...]
    stem: str
    splits: tuple[str, ...]
    whence: str
    background_residues: int | None = None
    text: bool = False

    def candidates(self, folder: Path) -> Iterator[tuple[Path, bool]]:
        """Places of its file in a data folder, best first, and whether it is the paper's."""
        places = (folder / self.name, folder)
        for split in self.splits:
            for place in places:
                yield place / f"{self.stem}_{split}.lmdb", split == self.splits[0]
        if self.text:
            for split in _TEXT_SPLITS:
                for place in (*places, folder / self.name / "casp12", folder / "casp12"):
                    for suffix in ("", ".gz"):
                        yield place / (split + suffix), False

    def expected(self) -> str:
        """The files that would do, in words."""
        files = f"{self.name}/{self.stem}_{{{','.join(self.splits)}}}.lmdb"
        if self.text:
            files += f", or ProteinNet's text, {self.name}/{{{','.join(_TEXT_SPLITS)}}}"
        return files


DATA_SETS = (
    DataSet(
        "proteinnet",
        ("contact", "amino_acid"),
        "proteinnet",
        ("train", "train_unfiltered", "valid", "test"),
        f"{_TAPE}: http://s3.amazonaws.com/proteindata/data_pytorch/proteinnet.tar.gz; as text "
        "from ProteinNet (https://github.com/aqlaboratory/proteinnet), CASP12",
        background_residues=512,
        text=True,
    ),
    DataSet(
        "secondary_structure",
        ("secondary_structure",),
        "secondary_structure",
        ("train", "valid", "casp12", "ts115", "cb513"),
        f"{_TAPE}: http://s3.amazonaws.com/proteindata/data_pytorch/secondary_structure.tar.gz",
    ),
    DataSet(
        "binding_sites",
        ("binding_site",),
        "binding_site",
        ("train", "valid"),
        f"{_PROVIS}binding_sites",
        background_residues=511,
    ),
    DataSet(
        "protein_modifications",
        ("modification",),
        "protein_modification",
        ("train", "valid"),
        f"{_PROVIS}protein_modifications",
        background_residues=511,
    ),
)
PROPERTIES = tuple(name for data_set in DATA_SETS for name in data_set.properties)


@dataclass(frozen=True)
class DataFile:
    """The file of a data set that was found.

    Attributes
    ----------
    data_set : DataSet
    path : Path
    name : str
        Its path inside the data folder.
    is_papers : bool
        Whether it is called as the one that the paper used.
    """

    data_set: DataSet
    path: Path
    name: str
    is_papers: bool

    @property
    def is_text(self) -> bool:
        """Whether it is ProteinNet's text, rather than a data base of TAPE's kind."""
        return self.path.suffix != ".lmdb"

    def count(self) -> int:
        """Records of the file; InputError where it cannot be read."""
        if self.is_text:
            return count_proteinnet(self.path)
        count = count_tape(self.path)
        if count is None:
            next(self.records(), None)  # raises, as a rule, and says why
            raise InputError("cannot be read", self.path)
        return count

    def records(self) -> Iterator[Protein | SetAside]:
        """All records, one for each number that `count` counts.

        An id that comes again gets its record's number: the paper counted such proteins too.
        """
        (label,) = self.data_set.properties[:1]
        site_label = label if label in ("binding_site", "modification") else None
        reader = (
            read_proteinnet(self.path, self.name)
            if self.is_text
            else read_tape_lmdb(self.path, self.name, site_label)
        )
        seen: set[str] = set()
        for number, record in enumerate(reader):
            if record.id in seen:
                record = replace(record, id=f"{record.id} (record {number})")
            seen.add(record.id)
            yield record

    def digests(self) -> list[dict[str, Any]]:
        """What identifies the file; see `provis_fast.proteins.ProteinSource.digests`."""
        kind = "proteinnet" if self.is_text else "tape"
        (digest,) = load_proteins(self.path, format=kind).digests()
        return [digest | {"path": self.name}]


def find(data_set: DataSet, folder: Path) -> DataFile | None:
    """The file of a data set in a data folder, the paper's rather than another; None without."""
    for path, is_papers in data_set.candidates(folder):
        if not path.exists():
            continue
        if path.suffix == ".lmdb" or (
            path.is_file() and first_bytes(path).startswith(FIRST_SECTION)
        ):
            return DataFile(data_set, path, path.relative_to(folder).as_posix(), is_papers)
    return None


def draw(n_records: int, n_drawn: int, seed: int) -> NDArray[np.int64]:
    """Numbers of the records to analyse, drawn without replacement; sorted.

    Record number k gets the k-th 64-bit word of NumPy's bit generator ``PCG64(seed)``, whose stream
    NumPy keeps the same in all versions; those with the smallest words are taken.

    Parameters
    ----------
    n_records, n_drawn : int
        Records of the file; and how many of them, all where there are fewer.
    seed : int
        From 0 on.

    Returns
    -------
    int64 [min(n_drawn, n_records)]

    Examples
    --------
    >>> draw(10, 3, seed=123).tolist()
    [1, 3, 4]
    """
    words = np.random.PCG64(seed).random_raw(n_records)
    return np.sort(np.argsort(words, kind="stable")[:n_drawn])


class DrawnProteins:
    """The drawn records of a file, as a source for `provis_fast.analyze`.

    Parameters
    ----------
    file : DataFile
    numbers : int64 [k]
        Sorted; from `draw`.
    of : int
        Records of the file.
    seed : int
    """

    notes = ()

    def __init__(self, file: DataFile, numbers: NDArray[np.int64], of: int, seed: int):
        self.file, self.numbers, self.of, self.seed = file, numbers, of, seed

    def __length_hint__(self) -> int:
        return len(self.numbers)

    def records(self) -> Iterator[Protein | SetAside]:
        """The drawn ones, in the file's order."""
        wanted = iter(self.numbers.tolist())
        number = next(wanted, None)
        for at, record in enumerate(self.file.records()):
            if number is None:
                return
            if at == number:
                yield record
                number = next(wanted, None)

    def digests(self) -> list[dict[str, Any]]:
        """What identifies the file, and the draw."""
        drawn = {"records": self.of, "drawn": operator.length_hint(self), "seed": self.seed}
        return [digest | drawn for digest in self.file.digests()]


class BackgroundProteins:
    """All records of a file, cut as the paper cut them for its background.

    Parameters
    ----------
    file : DataFile
    """

    notes = ()

    def __init__(self, file: DataFile):
        self.file = file

    def records(self) -> Iterator[Protein | SetAside]:
        """Every record, its first residues alone."""
        most = self.file.data_set.background_residues
        for record in self.file.records():
            if isinstance(record, SetAside) or most is None or len(record) <= most:
                yield record
            else:
                yield _first(record, most)

    def digests(self) -> list[dict[str, Any]]:
        """What identifies the file, and where its proteins are cut."""
        most = self.file.data_set.background_residues
        return [digest | {"first_residues": most} for digest in self.file.digests()]


def _first(protein: Protein, n: int) -> Protein:
    return Protein(
        protein.id,
        protein.sequence[:n],
        labels={name: labels[:n] for name, labels in protein.labels.items()},
        ca=None if protein.ca is None else protein.ca[:n],
        source=protein.source,
    )
