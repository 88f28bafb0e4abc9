"""What the attention heads of protein language models look at, at the speed of the forward pass.

>>> import provis_fast as pf
>>> model = pf.load_model("facebook/esm2_t6_8M_UR50D")  # doctest: +SKIP
>>> proteins = pf.load_proteins("structures/")  # doctest: +SKIP
>>> result = pf.analyze(model, proteins, ["amino_acid", "contact"])  # doctest: +SKIP
>>> result.proportion["contact"]  # doctest: +SKIP

Public names are imported when they are first used, so that ``import provis_fast`` itself is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from provis_fast import errors, figures, ops, reference
    from provis_fast.engine import analyze, attach
    from provis_fast.errors import ProvisError
    from provis_fast.inference.comparison import compare
    from provis_fast.inference.table import infer
    from provis_fast.merging import merge
    from provis_fast.models import load_model
    from provis_fast.per_protein.reading import per_protein_dataset, read_per_protein
    from provis_fast.prepare import prepare
    from provis_fast.properties import (
        ClassPair,
        Contact,
        KeyClass,
        KeyValue,
        Pair,
        QueryClass,
        Separation,
    )
    from provis_fast.proteins import Protein, load_proteins
    from provis_fast.reporting import report
    from provis_fast.reproduction import reproduce
    from provis_fast.statistics import HeadStatistics
    from provis_fast.storage import load as load_result
    from provis_fast.viewing import View, view

__all__ = [
    "ClassPair",
    "Contact",
    "HeadStatistics",
    "KeyClass",
    "KeyValue",
    "Pair",
    "Protein",
    "ProvisError",
    "QueryClass",
    "Separation",
    "View",
    "__version__",
    "analyze",
    "attach",
    "compare",
    "errors",
    "figures",
    "infer",
    "load_model",
    "load_proteins",
    "load_result",
    "merge",
    "ops",
    "per_protein_dataset",
    "prepare",
    "read_per_protein",
    "reference",
    "report",
    "reproduce",
    "view",
]

__version__ = "0.1.0"

#: Public name -> (module, name there); None where the name is the module itself.
_PUBLIC: dict[str, tuple[str, str | None]] = {
    "ops": ("provis_fast.ops", None),
    "reference": ("provis_fast.reference", None),
    "errors": ("provis_fast.errors", None),
    "figures": ("provis_fast.figures", None),
    "models": ("provis_fast.models", None),
    "properties": ("provis_fast.properties", None),
    "proteins": ("provis_fast.proteins", None),
    "ProvisError": ("provis_fast.errors", "ProvisError"),
    "analyze": ("provis_fast.engine", "analyze"),
    "attach": ("provis_fast.engine", "attach"),
    "infer": ("provis_fast.inference.table", "infer"),
    "load_model": ("provis_fast.models", "load_model"),
    "load_proteins": ("provis_fast.proteins", "load_proteins"),
    "prepare": ("provis_fast.prepare", "prepare"),
    "Protein": ("provis_fast.proteins", "Protein"),
    "KeyClass": ("provis_fast.properties", "KeyClass"),
    "QueryClass": ("provis_fast.properties", "QueryClass"),
    "ClassPair": ("provis_fast.properties", "ClassPair"),
    "KeyValue": ("provis_fast.properties", "KeyValue"),
    "Pair": ("provis_fast.properties", "Pair"),
    "Contact": ("provis_fast.properties", "Contact"),
    "Separation": ("provis_fast.properties", "Separation"),
    "HeadStatistics": ("provis_fast.statistics", "HeadStatistics"),
    "compare": ("provis_fast.inference.comparison", "compare"),
    "merge": ("provis_fast.merging", "merge"),
    "report": ("provis_fast.reporting", "report"),
    "reproduce": ("provis_fast.reproduction", "reproduce"),
    "load_result": ("provis_fast.storage", "load"),
    "read_per_protein": ("provis_fast.per_protein.reading", "read_per_protein"),
    "view": ("provis_fast.viewing", "view"),
    "View": ("provis_fast.viewing", "View"),
    "per_protein_dataset": ("provis_fast.per_protein.reading", "per_protein_dataset"),
}


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module_name, attribute = _PUBLIC[name]
    module = importlib.import_module(module_name)
    value = module if attribute is None else getattr(module, attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*_PUBLIC, *__all__})
