"""What a measurement was made on: every result file begins with it."""

from __future__ import annotations

import datetime
import os
import platform
from pathlib import Path

from provis_fast import versions


def processor() -> str:
    """The processor's own name, where the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def describe() -> dict[str, object]:
    """Hardware, versions and date."""
    found: dict[str, object] = {
        "date": datetime.date.today().isoformat(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    return found | {name: version for name, (version,) in versions.current().items()}
