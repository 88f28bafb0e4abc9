"""What makes analyses the same: of one thing, so that they merge; or one run, to be continued."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from provis_fast.statistics import HeadStatistics

#: Inputs that are named one by one where two runs are compared.
_NAMED = 100


def identity(result: HeadStatistics) -> dict[str, Any]:
    """What must be equal for totals to be of the same thing; names as a person knows them."""
    model = result.model
    identity = {
        "model": model.get("digest") or model.get("name"),
        "dtype": model.get("dtype"),
        "model size": f"{result.n_layers} layers x {result.n_heads} heads",
        "layers (from 1)": ",".join(str(layer + 1) for layer in result.layers),
        "threshold": list(result.thresholds),
        "threshold was a single number": result.scalar_threshold,
        "weighting": result.weighting,
        "min_arcs": result.min_arcs,
        "compat": result.compat,
        "entropy": result.totals["entropy"] is not None,
        "bootstrap": result.n_bootstrap,
        "permutations": result.n_permutations,
        "properties": ",".join(spec.name for spec in result.properties),
    }
    for spec in result.properties:
        identity[f"property {spec.name}"] = f"{spec.kind} of {','.join(spec.classes)}"
        for name, value in spec.options.items():
            identity[f"property {spec.name}, {name}"] = value
    return identity | {f"option {name}": value for name, value in result.options.items()}


def differences(
    mine: Mapping[str, Any], theirs: Mapping[str, Any], here: str, there: str
) -> list[str]:
    """Lines that say where two identities differ; "absent" where one has nothing."""
    return [
        f"  {name}: {mine.get(name, 'absent')} {here}, {theirs.get(name, 'absent')} {there}"
        for name in sorted(mine.keys() | theirs.keys())
        if mine.get(name) != theirs.get(name)
    ]


def fingerprint(result: HeadStatistics, tables: Sequence[str] = ()) -> dict[str, Any]:
    """What must be equal for a run to be continued to the same bytes; JSON.

    More than `identity`: also the input, which part of it, versions of software, and settings on
    which the last places of attention may depend. `result` may be empty; `tables` are those of
    single proteins.
    """
    shard = result.shard
    held = "all" if shard is None else sorted({*shard.parts, *shard.interrupted})
    found = identity(result) | {
        "model name": result.model.get("name"),
        "tables of single proteins": ", ".join(sorted(tables)) or "none",
        "shard": held if shard is None else f"{', '.join(map(str, held))} of {shard.of}",
    }
    files = [[entry.get(name) for name in ("path", "sha256", "bytes")] for entry in result.inputs]
    digest = hashlib.sha256(json.dumps(files).encode()).hexdigest()
    found["inputs"] = f"{len(files)} with digest {digest[:16]}"
    if len(files) <= _NAMED:
        found |= {f"input {path}": sha256 and sha256[:16] for path, sha256, _ in files}
    for kind, values in (("setting", result.settings), ("version", result.versions)):
        found |= {f"{kind} {name}": ", ".join(value) for name, value in values.items()}
    return json.loads(json.dumps(found))
