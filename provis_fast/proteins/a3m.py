"""A3M alignments (HH-suite, ColabFold): a query and the sequences aligned to it, as FASTA records.

In a row, upper-case letters and ``-`` stand in columns of the query, lower-case letters are
insertions of that row, and ``.`` fills. A row's own sequence is all of its letters, in upper case.

``a3m_rows="query"`` (the default) reads the first sequence alone, and nothing of the file after
it; ``"all"`` reads every row. Ids of rows become ``QUERY/ROW``, as the same sequences are found for
many queries, and a repeated one gets ``#2``, ``#3`` behind it. What is no protein is passed over:
rows of predicted and observed structure (``ss_pred``, ``ss_conf``, ``ss_dssp``, ``sa_dssp`` and the
like), and consensus sequences, which are set aside as skipped.

ColabFold calls every query ``101`` and says so in a first line like ``#280<tab>1``: the id is then
the file's name without its suffix. An alignment of several chains (``#280,100<tab>1,1``) has the
chains of a row run together, which are no protein: it is set aside.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from provis_fast.proteins import fasta
from provis_fast.proteins.formats import Reading
from provis_fast.proteins.opening import first_bytes, without_compression
from provis_fast.proteins.record import Protein, SetAside

_ANNOTATIONS = re.compile(r"(ss|sa|aa)_(pred|conf|dssp|obs)")
_CONSENSUS = re.compile(r"(?i)(.*_)?consensus")
#: Lengths and copies of ColabFold's chains.
_COLABFOLD = re.compile(rb"#([0-9]+(?:,[0-9]+)*)\t[0-9]+(?:,[0-9]+)*\s*(?:\n|$)")


def read(path: Path, source: str, reading: Reading) -> Iterator[Protein | SetAside]:
    """Read an A3M alignment as a stream; no more than a chunk, or one row, is in memory.

    Parameters
    ----------
    path : Path
        The file; compressed or not, whatever its name.
    source : str
        What to call the file in records.
    reading : Reading
        `a3m_rows`.

    Yields
    ------
    Protein or SetAside
        In the file's order.

    Raises
    ------
    InputError
        If the file cannot be opened, is empty, or does not begin with a header.
    """
    colabfold = _COLABFOLD.match(first_bytes(path))
    stem = PurePosixPath(without_compression(PurePosixPath(source).name)).stem
    query: str | None = None
    taken: set[str] = set()
    times: dict[str, int] = {}
    for raw, line in _rows(path, source):
        if isinstance(raw, SetAside):
            yield raw
            continue
        name = fasta.identifier(raw)
        if _ANNOTATIONS.match(name):
            continue
        if _CONSENSUS.fullmatch(name):
            reason = "a consensus, which is no protein"
            yield SetAside(name, "skipped", reason, source, line)
            continue
        if query is None:
            query = name
            if colabfold is not None:
                query = name = stem
                if b"," in colabfold.group(1):
                    lengths = colabfold.group(1).decode()
                    yield SetAside(
                        name,
                        "failed",
                        f"expected the alignment of one chain, got one of chains of {lengths} "
                        "residues run together; give the alignment of each chain",
                        source,
                        line,
                    )
                    return
        elif name:
            name = _unique(f"{query}/{name}", times, taken)
        yield fasta.make_protein(raw, line, source, name, alignment=True)
        if reading.a3m_rows == "query":
            return


def _rows(path: Path, source: str) -> Iterator[tuple[bytes | SetAside, int]]:
    for _, bodies, lines in fasta.chunks(path, source, clean=False, comments=(b";", b"#")):
        yield from zip(bodies, lines, strict=True)  # type: ignore[misc]


def _unique(name: str, times: dict[str, int], taken: set[str]) -> str:
    """The name, with a number behind it where it was taken before."""
    chosen = name
    while chosen in taken:
        times[name] = times.get(name, 1) + 1
        chosen = f"{name}#{times[name]}"
    taken.add(chosen)
    return chosen
