"""The page of a report, from its content."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provis_fast.reporting.citation import BIBTEX, CITATIONS
from provis_fast.reporting.embedding import environment, own_text
from provis_fast.reporting.findings import FEW_UNITS

if TYPE_CHECKING:
    from provis_fast.reporting.content import ReportContent


def render(content: ReportContent) -> str:
    """The HTML text; the same content gives the same text."""
    template = environment().get_template("report.html.j2")
    return template.render(
        content=content,
        title=content.title,
        version=content.version,
        css=own_text("report.css"),
        scripts=own_text("table_numbers.js", "table.js", "report.js"),
        citations=CITATIONS,
        bibtex=BIBTEX,
        few=FEW_UNITS,
    )
