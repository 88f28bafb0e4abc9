"""Proteins that were there before, told in little memory.

A corpus of millions is read once, and each of its proteins must be analysed once: ids and sequences
of all that came are remembered as digests, about 35 bytes for a protein (csrc/text/duplicates.h).
"""

from __future__ import annotations

from provis_fast.proteins.compiled import _text
from provis_fast.proteins.record import Protein, SetAside

_IN_MEMORY = "memory"
#: Added to the number of a file by `IdIndex.add` where the id is the same and the sequence is not.
_OTHER_SEQUENCE = 1 << 32


class Duplicates:
    """What came before, in one pass over an input.

    Two proteins are the same if id and sequence are. The same id with another sequence is an error
    of the input. Within one entry, the same sequence under two ids may be one protein too.
    """

    def __init__(self) -> None:
        self._ids = _text.IdIndex()
        self._sequences: _text.SequenceIndex | None = None
        self._files: list[str] = []
        self._numbers: dict[str, int] = {}

    def __len__(self) -> int:
        """Return the number of different ids."""
        return len(self._ids)

    @property
    def nbytes(self) -> int:
        """Bytes of memory, those of file names apart."""
        return self._ids.nbytes + (0 if self._sequences is None else self._sequences.nbytes)

    def begin_entry(self, by_sequence: bool) -> None:
        """Begin a file; `by_sequence`: in it, the same sequence is the same protein."""
        self._sequences = _text.SequenceIndex() if by_sequence else None

    def once(self, protein: Protein) -> Protein | SetAside:
        """The protein if it is new; else why it is set aside."""
        where = protein.source or _IN_MEMORY
        number = self._numbers.get(where)
        if number is None:
            number = self._numbers[where] = len(self._files)
            self._files.append(where)
        found = self._ids.add(protein.id, protein.sequence, number)
        if found >= 0:
            return self._taken(protein, found, where)
        if self._sequences is not None:
            same = self._sequences.add(protein.sequence, protein.id)
            if same != protein.id:
                reason = f"duplicate: the same sequence as {same}"
                return SetAside(protein.id, "skipped", reason, protein.source, protein.line)
        return protein

    def _taken(self, protein: Protein, found: int, where: str) -> SetAside:
        before = self._files[found % _OTHER_SEQUENCE]
        if found < _OTHER_SEQUENCE:
            reason = f"duplicate id, first in {before}"
            return SetAside(protein.id, "skipped", reason, protein.source, protein.line)
        reason = (
            f"expected one sequence of each id, but this one, in {where}, is not the one of the "
            f"same id in {before}, which was read first; rename one of them"
        )
        return SetAside(protein.id, "failed", reason, protein.source, protein.line)
