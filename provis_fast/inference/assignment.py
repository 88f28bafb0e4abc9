"""Which cluster each protein is in: by a mapping, a file of MMseqs2, or the input's own column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from provis_fast.errors import ArgumentError, InputError
from provis_fast.proteins.opening import DAMAGED, damaged_file, open_text

Clusters = Mapping[str, Any] | str | PathLike[str] | None

#: Databases whose headers MMseqs2 shortens to the accession in their middle.
_SHORTENED = ("sp|", "tr|")


class Assignment(NamedTuple):
    """Units of proteins.

    Attributes
    ----------
    unit : int64 [proteins]
        Number of the unit of each protein, from 0 in the order in which units first come.
    notes : tuple of str
        What a reader of the numbers should know.
    """

    unit: NDArray[np.int64]
    notes: tuple[str, ...]


def assign(ids: Sequence[str], own: Sequence[str | None], clusters: Clusters) -> Assignment:
    """The unit of each protein.

    A protein that `clusters` does not name, or whose own cluster is not known, is a unit by itself.

    Parameters
    ----------
    ids : sequence of str
        Of the analysed proteins. Several of one id are in one cluster.
    own : sequence of str or None
        Clusters that the input had for them.
    clusters : mapping, path or None
        Protein id to name of its cluster; the path of a table as MMseqs2 writes it (see
        `read_members`); None for `own`. Ids as "sp|P69905|HBA_HUMAN" are also found by their
        accession, to which MMseqs2 shortens them.

    Raises
    ------
    ArgumentError
        None of the proteins has a cluster.
    InputError
        The file cannot be read; see `read_members`.
    """
    if clusters is None:
        names: list[Any] = list(own)
        if not any(name is not None for name in names):
            raise ArgumentError(
                "clusters: the input of this result had no column cluster; give a mapping of "
                "protein ids to clusters, or a file as MMseqs2 writes it (representative, member)"
            )
        source, elsewhere = "the input's column cluster", 0
    else:
        names, source, elsewhere = _named(ids, clusters)
    numbers: dict[Any, int] = {}
    unit = np.empty(len(ids), np.int64)
    for at, name in enumerate(names):
        # One that is in no cluster gets a key that no name can be.
        key = ("alone", at) if name is None else ("cluster", name)
        unit[at] = numbers.setdefault(key, len(numbers))
    alone = sum(name is None for name in names)
    notes = [f"{len(ids):,} proteins in {len(numbers):,} clusters, by {source}"]
    if alone:
        notes.append(f"{alone:,} proteins without a cluster there are clusters of their own")
    if elsewhere:
        notes.append(f"{elsewhere:,} members of clusters there are not among these proteins")
    return Assignment(unit, tuple(notes))


def _named(
    ids: Sequence[str], clusters: Mapping[str, Any] | str | PathLike[str]
) -> tuple[list[Any], str, int]:
    """Cluster of each protein or None, where from, and members that are none of the proteins."""
    is_mapping = isinstance(clusters, Mapping)
    source = "the mapping" if is_mapping else Path(clusters).name
    members = clusters.items() if is_mapping else read_members(clusters)
    known, short = set(ids), {}
    for identifier in known:
        if identifier.startswith(_SHORTENED) and identifier.count("|") > 1:
            short[identifier.split("|")[1]] = identifier
    cluster_of: dict[str, Any] = {}
    elsewhere, example = 0, None
    for member, cluster in members:
        identifier = member if member in known else short.get(member)
        if identifier is None:
            elsewhere, example = elsewhere + 1, example or member
        elif cluster is not None:
            cluster_of[identifier] = cluster
    if not cluster_of and ids:
        named = "nothing" if example is None else f"{example!r}, say"
        raise ArgumentError(
            f"clusters: expected ids of this result's proteins, such as {ids[0]!r}; {source} "
            f"names {named}, and none of them"
        )
    return [cluster_of.get(identifier) for identifier in ids], source, elsewhere


def read_members(path: str | PathLike[str]) -> Iterator[tuple[str, str]]:
    """Members of clusters and their cluster, from a table as MMseqs2 writes it.

    ``mmseqs easy-cluster`` writes it as ``NAME_cluster.tsv``: two columns without a heading,
    separated by a tab, the representative of a cluster and one of its members (the representative
    itself among them). Compressed files (.gz, .zst) are read as well.

    Yields
    ------
    member, representative : str

    Raises
    ------
    InputError
        The file cannot be read; a line is not UTF-8 or has not two columns, or its member was in
        another cluster before.
    """
    path = Path(path)
    before: dict[str, str] = {}
    number = 0
    try:
        with open_text(path) as stream:
            for number, line in enumerate(stream, 1):
                columns = _columns(line, path, number)
                if columns is None:
                    continue
                representative, member = columns
                earlier = before.setdefault(member, representative)
                if earlier != representative:
                    raise InputError(
                        f"expected every protein in one cluster; {member!r} is in that of "
                        f"{earlier!r} and in that of {representative!r}",
                        path,
                        number,
                    )
                yield member, representative
    except DAMAGED as error:
        raise damaged_file(path, error, number + 1) from error
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", path) from error


def _columns(line: bytes, path: Path, number: int) -> tuple[str, str] | None:
    """The two columns of a line; None of an empty one."""
    try:
        text = line.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise InputError(f"expected text in UTF-8 ({error.reason})", path, number) from error
    if not text.strip():
        return None
    cells = [cell.strip() for cell in text.split("\t")]
    if len(cells) != 2 or not all(cells):
        shown = text if len(text) <= 80 else f"{text[:80]}..."
        raise InputError(
            "expected two columns separated by a tab, representative and member of a cluster (as "
            f"MMseqs2 writes them), got {shown!r}",
            path,
            number,
        )
    return cells[0], cells[1]
