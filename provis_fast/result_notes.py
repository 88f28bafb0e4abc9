"""What a result says of records that were set aside, and what its reader should know."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from provis_fast.errors import ArgumentError
from provis_fast.record_log import NOTED, RecordLog, Remark, View


class ResultNotes:
    """Notes and remarks of `HeadStatistics`, which inherits them."""

    analysed: int
    remarks: RecordLog
    general_notes: list[str]
    counted: dict[str, int]
    unknown_properties: list[str]

    def count(self, template: str, n: int = 1) -> None:
        """Keep a remark that counts proteins, with "{n}" where their number stands."""
        self.counted[template] = self.counted.get(template, 0) + n

    def note(self, record: Any) -> None:
        """Keep a remark (str, once), or a record that was set aside and why.

        Parameters
        ----------
        record : str, Remark or object
            The last with id, status ("skipped" or "failed"), reason, source, line.
        """
        if isinstance(record, str):
            if record not in self.general_notes:
                self.general_notes.append(record)
            return
        if not isinstance(record, Remark):
            status = getattr(record, "status", None)
            if status not in ("skipped", "failed"):
                raise ArgumentError(f'status: expected "skipped" or "failed", got {status!r}')
            record = Remark.of(max(self.read, self.remarks.end), record)
        self.remarks.add(record)

    @property
    def set_aside(self) -> Sequence[dict[str, Any]]:
        """Records that were not analysed; see the class."""
        count = self.skipped + self.failed
        return View(count, lambda: map(Remark.as_dict, self._of_records(True)))

    @property
    def notes(self) -> Sequence[str]:
        """Remarks on the whole, and on single records; see the class."""
        return View(
            len(self.notes_on_the_whole) + self.remarks.count(NOTED),
            lambda: chain(
                self.notes_on_the_whole,
                (f"{remark.id}: {remark.reason}" for remark in self._of_records(False)),
            ),
        )

    def _of_records(self, aside: bool) -> Iterator[Remark]:
        return (remark for remark in self.remarks if (remark.status != NOTED) == aside)

    @property
    def notes_on_the_whole(self) -> list[str]:
        """Those of `notes` that are about no single record."""
        counted = (text.replace("{n}", f"{n:,}") for text, n in sorted(self.counted.items()))
        return [*self.general_notes, *counted, *map(unknown_note, self.unknown_properties)]

    @property
    def skipped(self) -> int:
        """Records left out by a stated option or limit."""
        return self.remarks.count("skipped")

    @property
    def failed(self) -> int:
        """Records that could not be used."""
        return self.remarks.count("failed")

    @property
    def read(self) -> int:
        """Records read: analysed + skipped + failed."""
        return self.analysed + self.skipped + self.failed


def unknown_note(property_name: str) -> str:
    """The note on one of `HeadStatistics.unknown_properties`."""
    return f"{property_name}: known for no residue of any analysed protein"
