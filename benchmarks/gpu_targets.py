"""What is to be reached on a GPU, and what a report of `gpu.py` says of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

#: Contenders of the kernels' rows that compute attention alone.
VENDORS = ("sdpa", "sdpa, cudnn", "sdpa, flash", "flash_attn 2", "flash_attn 3")
TWO_PASS = ("threshold, two-pass", "threshold, two-pass, cudnn")
#: Shapes that the targets of the kernels are for.
HEAD_SIZE, LENGTHS = 64, (512, 1024, 2048)
LONGEST = 8192


class Target(NamedTuple):
    """A number to reach.

    Attributes
    ----------
    name, unit : str
    limit : float
        At most this.
    measured : callable
        The number, from a report; None where the report does not have it.
    """

    name: str
    limit: float
    unit: str
    measured: Callable[[dict], float | None]


def _least(ms: dict[str, float], names: tuple[str, ...]) -> float | None:
    return min((ms[name] for name in names if name in ms), default=None)


def _kernel(ours: tuple[str, ...], theirs: tuple[str, ...]) -> Callable[[dict], float | None]:
    """The worst of the lengths' ratios; None unless every length was measured."""

    def measured(report: dict) -> float | None:
        ratios = {}
        for row in report.get("kernels", ()):
            mine, other = _least(row["ms"], ours), _least(row["ms"], theirs)
            if row["head_size"] == HEAD_SIZE and mine is not None and other is not None:
                ratios[row["length"]] = mine / other
        if not set(LENGTHS) <= set(ratios):
            return None
        return max(ratios[length] for length in LENGTHS)

    return measured


def _analysis(model: str, name: str) -> Callable[[dict], float | None]:
    """An analysis against the plain forward pass, of the most proteins measured."""

    def measured(report: dict) -> float | None:
        rows = [row for row in report.get("analysis", ()) if row["model"] == model]
        rows = [row for row in rows if {name, "plain forward"} <= set(row["ms"])]
        if not rows:
            return None
        ms = max(rows, key=lambda row: row["proteins"])["ms"]
        return ms[name] / ms["plain forward"]

    return measured


def _memory(report: dict) -> float | None:
    for row in report.get("memory", ()):
        if row["length"] == LONGEST:
            return row["extra_mib"]
    return None


TARGETS = (
    Target(
        "threshold statistics, two passes / fastest vendor attention",
        1.30,
        "x",
        _kernel(TWO_PASS, VENDORS),
    ),
    Target(
        "threshold statistics, fused / fastest vendor attention",
        1.10,
        "x",
        _kernel(("threshold, fused",), VENDORS),
    ),
    Target(
        "threshold statistics, fused / torch's default attention",
        1.00,
        "x",
        _kernel(("threshold, fused",), ("sdpa",)),
    ),
    Target(
        "weighted statistics / fastest vendor attention",
        1.50,
        "x",
        _kernel(("weighted",), VENDORS),
    ),
    Target(
        "analysis, ESM-2 650M shape / plain forward, same packs",
        1.03,
        "x",
        _analysis("ESM-2 650M shape", "analysis, threshold"),
    ),
    Target(
        "weighted analysis, ESM-2 650M shape / plain forward, same packs",
        1.03,
        "x",
        _analysis("ESM-2 650M shape", "analysis, weighted"),
    ),
    Target(
        "analysis, ProtBert shape / plain forward, same packs",
        1.03,
        "x",
        _analysis("ProtBert shape", "analysis, threshold"),
    ),
    Target(
        "weighted analysis, ProtBert shape / plain forward, same packs",
        1.03,
        "x",
        _analysis("ProtBert shape", "analysis, weighted"),
    ),
    Target("memory beyond the plain forward pass, 8,192 tokens", 64.0, "MiB", _memory),
)


def judged(report: dict) -> list[dict[str, object]]:
    """Name, limit, unit, measured number (or None) and whether it was met (or None), per target.

    Reports of a trial on a CPU, or of small sizes, measure none of them.
    """
    found: list[dict[str, object]] = []
    real = report["device"] == "cuda" and not report["small"]
    for target in TARGETS:
        number = target.measured(report) if real else None
        met = None if number is None else number <= target.limit
        found.append(
            {
                "name": target.name,
                "limit": target.limit,
                "unit": target.unit,
                "measured": number,
                "met": met,
            }
        )
    return found


def shown(number: float, unit: str) -> str:
    """A number as people read it."""
    return f"{number:.2f} {unit}" if unit == "x" else f"{number:.0f} {unit}"
