"""Search for files on which a reader fails, guided by coverage.

    python tests/fuzz/atheris_readers.py FORMAT [options of libFuzzer, such as -max_total_time=60]

needs the package atheris, and takes every format of `provis_fast.proteins.formats.formats`. Any
exception but the package's own is a crash, which libFuzzer writes to a file ``crash-...``. Small
whole files of the format, from the tests, are the seeds. Of a TAPE data set it is the records that
are made up, not the LMDB file around them: LMDB maps files as they are, and trusts them.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["provis_fast.proteins"]):
    from provis_fast.errors import ProvisError
    from provis_fast.proteins.formats import Reading, formats

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def seeds(name: str) -> list[bytes]:
    """Whole files of a format, where the tests have any."""
    from test_proteins_fuzz import FORMATS, WHOLE

    return [data for kind, data in WHOLE.items() if FORMATS.get(kind, kind) == name]


def write_data_set(path: Path, record: bytes) -> None:
    """A TAPE data set of one record."""
    from test_proteins_tape import write_lmdb

    shutil.rmtree(path, ignore_errors=True)
    write_lmdb(path, [record])


def main() -> None:
    """Read what libFuzzer makes up, until it finds a crash or its time is over."""
    if len(sys.argv) < 2 or sys.argv[1] not in formats():
        sys.exit(f"usage: {sys.argv[0]} FORMAT [options of libFuzzer]; {', '.join(formats())}")
    name = sys.argv.pop(1)
    kind = formats()[name]
    folder = Path(tempfile.mkdtemp(prefix="provis-fast-fuzz-"))
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, data in enumerate(seeds(name)):
        (corpus / str(number)).write_bytes(data)
    path = folder / f"input{kind.suffixes[0] if kind.suffixes else ''}"

    def one_input(data: bytes) -> None:
        if name == "tape":
            write_data_set(path, data)
        else:
            path.write_bytes(data)
        try:
            for record in kind.read(path, path.name, Reading()):
                for label in getattr(record, "labels", ()):
                    record.labels[label]
        except ProvisError:
            pass

    # The first read imports what the reader needs, instrumented as well.
    with atheris.instrument_imports(include=["provis_fast.proteins"]):
        for data in (*seeds(name), b""):
            one_input(data)
    atheris.Setup([*sys.argv, str(corpus)], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
