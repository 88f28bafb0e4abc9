"""Reports: what an analysis found, as one HTML file that opens anywhere, without a network.

`report` writes it. The numbers come from `provis_fast.inference`, the pictures from
`provis_fast.figures`, and the sentences from `provis_fast.reporting.findings`.
"""

from __future__ import annotations

from provis_fast.reporting.writing import report

__all__ = ["report"]
