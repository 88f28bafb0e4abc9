"""Commands beside `analyze`: merge, doctor, benchmark, help; and what an import costs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from result_cases import random_result

import provis_fast
from provis_fast import storage
from provis_fast.cli import main
from provis_fast.spool import Spool


def _tables(folder, shard):
    """A folder of tables with a protein in each."""
    schema = pa.schema([("record", pa.int64())])
    spool = Spool(folder.with_suffix(".spool"), {"proteins": schema, "counts": schema})
    batch = pa.record_batch([pa.array([shard[0]])], schema=schema)
    spool.append((0, 1), {"proteins": batch, "counts": batch})
    spool.finish(folder, shard)
    spool.remove()
    return folder


def test_merge_takes_tables_along(tmp_path, capsys):
    folders = [tmp_path / name for name in "123"]
    for number, folder in enumerate(folders[:2], start=1):
        tables = _tables(tmp_path / f"tables{number}", (number, 2))
        random_result(number).save(folder, per_protein=tables)
    random_result(3).save(folders[2])
    merge = ["merge", *map(str, folders), "--out"]
    assert main([*merge, str(tmp_path / "merged")]) == 0
    printed = capsys.readouterr()
    assert f"note: {folders[2]} has no tables of single proteins" in printed.err
    assert "per_protein/" in printed.out
    counts = pq.read_table(tmp_path / "merged" / "per_protein" / "counts").to_pydict()
    assert counts["record"] == [1, 2]
    assert json.loads((tmp_path / "merged" / "manifest.json").read_text())["per_protein"] == [
        "counts",
        "proteins",
    ]
    assert main([*merge, str(tmp_path / "without"), "--no-per-protein"]) == 0
    assert "no tables" not in capsys.readouterr().err
    assert not (tmp_path / "without" / "per_protein").exists()


def test_merge_refuses_tables_of_the_same_name(tmp_path, capsys):
    folders = [tmp_path / name for name in "12"]
    for number, folder in enumerate(folders, start=1):
        tables = _tables(tmp_path / f"tables{number}", (1, 1))
        random_result(number).save(folder, per_protein=tables)
    merge = ["merge", *map(str, folders), "--out", str(tmp_path / "merged")]
    assert main(merge) == 2
    message = capsys.readouterr().err
    assert "is the same part of that table" in message and "--no-per-protein" in message
    assert not (tmp_path / "merged").exists()
    assert main([*merge, "--no-per-protein"]) == 0


def test_doctor_checks_what_the_environment_names(capsys, monkeypatch):
    monkeypatch.setenv("PROVIS_FAST_GPU_ATTENTION", "nonsense")
    assert main(["doctor"]) == 2
    printed = capsys.readouterr().out
    assert "Problem: PROVIS_FAST_GPU_ATTENTION: expected one of flash" in printed
    assert "'nonsense'" in printed
    monkeypatch.setenv("PROVIS_FAST_GPU_ATTENTION", "cudnn")
    assert "PROVIS_FAST_GPU_ATTENTION" in (main(["doctor"]), capsys.readouterr().out)[1]


def test_benchmark_lists_its_dtypes(capsys):
    assert main(["benchmark", "--dtypes", "int8"]) == 2
    assert "float32, bfloat16, float16, float64; got int8" in capsys.readouterr().err


def test_merge(tmp_path, capsys):
    folders = [str(tmp_path / str(seed)) for seed in (1, 2)]
    for seed, folder in enumerate(folders, start=1):
        random_result(seed).save(folder)
    out = str(tmp_path / "out")
    assert main(["merge", *folders, "--out", out]) == 0
    assert storage.load(out).analysed == 6
    assert "6 analysed" in capsys.readouterr().out
    assert main(["merge", *folders, "--out", out]) == 2
    assert "--overwrite" in capsys.readouterr().err
    random_result(3, min_arcs=7).save(tmp_path / "3")
    random_result(1).save(tmp_path / "again")
    for refused, named in [
        ([*folders, str(tmp_path / "3")], "min_arcs: 100 in result 1, 7 in result 3"),
        ([folders[0], str(tmp_path / "again")], "would count twice"),
        ([folders[0], folders[0]], "is given twice"),
        ([folders[0], out], "is one of the results"),
        ([str(tmp_path)], "manifest.json is missing"),
    ]:
        assert main(["merge", *refused, "--out", out, "--overwrite"]) == 2
        assert named in capsys.readouterr().err
    overlap = ["merge", folders[0], str(tmp_path / "again"), "--out", out, "--allow-overlap"]
    assert main([*overlap, "--overwrite"]) == 0


def test_doctor_says_what_is_missing(capsys, monkeypatch):
    built = ModuleType("provis_fast._C")
    built.cpu_info = lambda: {"selected": "avx2", "available": ["avx2", "portable"]}
    built.build_info = lambda: {"cpu": True, "cuda": False}
    monkeypatch.setitem(sys.modules, "provis_fast._C", built)
    monkeypatch.setattr(provis_fast, "_C", built, raising=False)
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"instruction set +avx2 \(available: avx2, portable\)", printed)
    assert re.search(r"kernels cuda +not built", printed)
    monkeypatch.setitem(sys.modules, "provis_fast._C", None)  # makes its import fail
    monkeypatch.delattr(provis_fast, "_C")
    assert main(["doctor"]) == 2
    assert "pip install" in capsys.readouterr().out


def _python(code: str) -> subprocess.CompletedProcess:
    # Elsewhere than in a clone, whose sources would come before an installed package.
    command = [sys.executable, "-c", code]
    folder = Path(__file__).parent
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


def test_help_and_import_do_not_wait_for_torch():
    heavy = "import sys; assert not {'torch', 'transformers', 'pandas'} & set(sys.modules)"
    assert _python(f"import provis_fast; {heavy}").returncode == 0
    shown = _python(f"from provis_fast.cli import main; main(['--version']); {heavy}")
    assert shown.stdout.strip() == f"provis-fast {provis_fast.__version__}" and not shown.returncode
    assert main(["--help"]) == 0 and main([]) == 2


def test_threads_do_not_spin_for_long_unless_told_to():
    shown = "import os; os.environ.pop('GOMP_SPINCOUNT', None); "
    shown += "from provis_fast.cli import main; main(['--version']); "
    shown += "print(os.environ.get('GOMP_SPINCOUNT'))"
    assert _python(shown).stdout.split()[-1] == "1000"
    told = "import os; os.environ['OMP_WAIT_POLICY'] = 'active'; "
    assert _python(told + shown).stdout.split()[-1] == "None"


def test_public_names_are_there():
    from provis_fast import merging

    assert provis_fast.merge is merging.merge
    assert provis_fast.load_result is storage.load
    shown = set(dir(provis_fast))
    assert shown == {*provis_fast.__all__, "models", "properties", "proteins"}
    assert all(getattr(provis_fast, name) is not None for name in shown)
    with pytest.raises(AttributeError, match="no attribute 'anlyze'"):
        _ = provis_fast.anlyze
