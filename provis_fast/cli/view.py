"""``provis-fast view``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from provis_fast.cli import OK, SOME_FAILED, output
from provis_fast.errors import ArgumentError
from provis_fast.written_pages import check_target, write_page

if TYPE_CHECKING:
    from provis_fast.models import Model
    from provis_fast.viewing import View

_SHOWN = 5


def run(arguments: argparse.Namespace) -> int:
    """Write the page, and say which heads stand out on this structure."""
    target = check_target(arguments.out, "view", arguments.overwrite)
    from provis_fast.properties.contact import Contact
    from provis_fast.viewing.making import MIN_ARCS, make_view
    from provis_fast.viewing.viewer import check_installed

    check_installed()
    given = {
        name: getattr(arguments, f"contact_{name}") for name in ("atom", "cutoff", "separation")
    }
    made = make_view(
        arguments.structure,
        lambda: _load(arguments),
        layer=None if arguments.layer is None else arguments.layer - 1,
        head=None if arguments.head is None else arguments.head - 1,
        threshold=arguments.threshold,
        chain=arguments.chain,
        symmetric=not arguments.directed,
        title=arguments.title,
        contact=Contact(**{name: value for name, value in given.items() if value is not None}),
        min_arcs=MIN_ARCS if arguments.min_arcs is None else arguments.min_arcs,
        threads=arguments.threads,
    )
    for note in made.notes:
        output.tell(f"note: {note}")
    write_page(made.html(), target)
    output.say(f"{_table(made)}\n\n{opened(made)}\nFile: {arguments.out}", target)
    return SOME_FAILED if made.left_out else OK


def _load(arguments: argparse.Namespace) -> Model:
    """The model; ArgumentError where it has no such layer or head, counted as they were typed."""
    from provis_fast.models import load_model

    options = {name: getattr(arguments, name) for name in ("device", "dtype", "revision")}
    model = load_model(arguments.model, **options)
    for name, n, what in (
        ("layer", model.n_layers, "layers"),
        ("head", model.n_heads, "heads in each layer"),
    ):
        number = getattr(arguments, name)
        if number is not None and number > n:
            raise ArgumentError(
                f"--{name} {number}: this model has {n} {what} ({model.name}); give a number from "
                f"1 to {n}"
            )
    return model


def _table(made: View) -> str:
    """The best heads of this structure."""
    best = made.heads.dropna(subset=["proportion"]).head(_SHOWN)
    if best.empty:
        return (
            f"No head has {made.min_arcs:,} arcs of at least {made.threshold:g} (--min-arcs) that "
            "could be contacts, so none is ranked."
        )
    lines = [
        "head   contacts  background  favoured     n",
        "-----  --------  ----------  --------  ----",
    ]
    for row in best.itertuples():
        name = f"{row.layer + 1}-{row.head + 1}"
        ratio = f"{row.proportion / row.background:.1f}x" if row.background > 0 else "-"
        lines.append(
            f"{name:>5}  {row.proportion:8.1%}  {row.background:10.1%}  {ratio:>8}  "
            f"{row.eligible:4}"
        )
    return "\n".join(lines)


def opened(made: View) -> str:
    """What a page shows, and the head that it opens with."""
    chains = ", ".join(chain.id for chain in made.chains)
    n = sum(len(arcs.weight) for arcs in made.head_arcs)
    return (
        f"{made.title}, chain {chains}: {n:,} arcs of at least {made.threshold:g}; the page opens "
        f"with head {made.layer + 1}-{made.head + 1}"
    )
