"""Makes a view of a structure: reads it, runs the model once, and ranks the heads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path

import pandas as pd

from provis_fast.arguments import check_integer, check_thresholds
from provis_fast.errors import ArgumentError, InputError
from provis_fast.models import Model, load_model
from provis_fast.properties.contact import Contact
from provis_fast.threads import MAX_THREADS
from provis_fast.viewing.chains import ViewChain, chosen, view_chains
from provis_fast.viewing.entries import read_entry
from provis_fast.viewing.forward import HeadArcs, arcs_of
from provis_fast.viewing.mmcif import mmcif_text
from provis_fast.viewing.ranking import ranked_heads
from provis_fast.viewing.result import View

#: One structure has few arcs: with fewer eligible ones than this, a head has no proportion.
MIN_ARCS = 20
#: Arcs of a page, over all heads and chains: 8 bytes each, 32 MB before they are packed.
MAX_ARCS = 4_000_000


def view(
    structure: str | PathLike[str],
    model: Model | str | PathLike[str],
    *,
    layer: int | None = None,
    head: int | None = None,
    threshold: float = 0.1,
    chain: str | Sequence[str] | None = None,
    symmetric: bool = True,
    title: str | None = None,
    contact: Contact | None = None,
    min_arcs: int = MIN_ARCS,
    threads: int | None = None,
) -> View:
    """Show the attention of a model's heads on a structure.

    Parameters
    ----------
    structure : str or path
        PDB, mmCIF or BinaryCIF, also compressed.
    model : Model, str or path
        From `load_model`, or what that takes.
    layer, head : int, optional
        The head that the page opens with, counted from 0; default the best of this structure (of
        this layer, of this number). All heads can be chosen in the page.
    threshold : float in (0, 1]
        Arcs of at least this attention are kept, of all heads.
    chain : str or sequence of str, optional
        Chains to show, by the author's names ("A", "A,B" or ["A", "B"]); default all. Each is run
        by itself, as in an analysis: there are no arcs from one chain to another.
    symmetric : bool
        Open with the stronger of both directions of each pair, as the notebook of provis shows
        attention; False: with directed arcs.
    title : str, optional
        Default: the entry's id.
    contact : Contact, optional
        What a contact is; default ``Contact()``.
    min_arcs : int
        Heads with fewer eligible arcs in this structure have no proportion, and are ranked last.
    threads : int, optional
        Of the model; default `torch.get_num_threads()`.

    Returns
    -------
    View

    Raises
    ------
    ArgumentError
        A bad argument, by name: no such chain, layer or head among them; a threshold so low that a
        page cannot hold the arcs.
    InputError
        The file is no structure, or has no amino-acid chain with C-alpha atoms that the model
        takes.
    ModelError
        The model cannot be found, or is of a kind that cannot be analysed.
    """
    return make_view(
        structure,
        lambda: model if isinstance(model, Model) else load_model(model),
        layer=layer,
        head=head,
        threshold=threshold,
        chain=chain,
        symmetric=symmetric,
        title=title,
        contact=contact,
        min_arcs=min_arcs,
        threads=threads,
    )


def make_view(
    structure: str | PathLike[str],
    load: Callable[[], Model],
    *,
    layer: int | None,
    head: int | None,
    threshold: float,
    chain: str | Sequence[str] | None,
    symmetric: bool,
    title: str | None,
    contact: Contact | None,
    min_arcs: int,
    threads: int | None,
) -> View:
    """`view`, with a model that is loaded once all else has been found in order."""
    theta = _threshold(threshold)
    contact = Contact() if contact is None else contact
    if not isinstance(contact, Contact) or contact.separation < 1:
        raise ArgumentError(
            "contact: expected a Contact with a separation of at least 1 (--contact-separation), "
            f"got {getattr(contact, 'separation', contact)!r:.60}"
        )
    min_arcs = check_integer("min_arcs", min_arcs, 0)
    threads = None if threads is None else check_integer("threads", threads, 1, MAX_THREADS)
    if title is not None and not isinstance(title, str):
        raise ArgumentError(f"title: expected text, got {title!r:.60}")
    names = _chain_names(chain)
    entry = read_entry(structure)  # before a model is loaded in vain
    path = Path(structure)
    notes: list[str] = []
    indices = chosen(entry, names, path)
    shown = view_chains(entry, indices, contact, notes, path)
    model = load()
    _check_number("layer", layer, model.n_layers, model, "layers")
    _check_number("head", head, model.n_heads, model, "heads in each layer")

    found = arcs_of(model, [one.protein for one in shown], theta, threads, notes)
    chains, arcs, failed = [], [], []
    for one, its_arcs in zip(shown, found, strict=True):
        if isinstance(its_arcs, HeadArcs):
            chains.append(one)
            arcs.append(its_arcs)
        else:
            failed.append(f"chain {one.id} has no arcs: {its_arcs}")
    if not chains:
        raise InputError("; ".join(failed), path)
    _check_size(arcs, theta)
    notes += failed
    notes += _same_sequences(chains)
    heads = ranked_heads(chains, arcs, model.n_heads, contact.separation, min_arcs)
    if not heads["arcs"].any():
        notes.append(f"no head has an arc of at least {theta:g}; try a lower threshold")
    if not heads["background"].gt(0).any():
        notes.append(
            "no pair of residues within a chain is in contact, so that heads cannot be ranked by "
            "contacts; those between chains are not counted"
        )
    layer, head = _opening(heads, layer, head)
    text, note = mmcif_text(entry, None if names is None else indices)
    return View(
        _text(entry.id if title is None else title),
        {"name": _text(_shown_name(model)), "n_layers": model.n_layers, "n_heads": model.n_heads},
        layer,
        head,
        theta,
        bool(symmetric),
        contact,
        min_arcs,
        tuple(chains),
        tuple(arcs),
        heads,
        text,
        note,
        tuple(map(_text, notes)),
        tuple(entry.names[i] for i in indices if entry.names[i] not in {c.id for c in chains}),
    )


def _threshold(threshold: float) -> float:
    thresholds = check_thresholds(threshold)
    if len(thresholds) != 1:
        raise ArgumentError(f"threshold: expected one number in (0, 1], got {threshold!r}")
    return thresholds[0]


def _check_size(arcs: Sequence[HeadArcs], theta: float) -> None:
    total = sum(len(found.weight) for found in arcs)
    if total > MAX_ARCS:
        raise ArgumentError(
            f"threshold: expected one that leaves at most {MAX_ARCS:,} arcs of all heads, which is "
            f"what a page can hold, got {theta:g}, which {total:,} reach; give a higher one, or "
            "fewer chains"
        )


def _chain_names(chain: str | Sequence[str] | None) -> list[str] | None:
    if chain is None:
        return None
    names = chain.split(",") if isinstance(chain, str) else chain
    if not isinstance(names, Sequence) or not names or not all(isinstance(n, str) for n in names):
        raise ArgumentError(
            f'chain: expected names of chains, such as "A", "A,B" or ["A", "B"], got {chain!r:.60}'
        )
    return [name.strip() for name in names]


def _check_number(name: str, number: int | None, n: int, model: Model, what: str) -> None:
    if number is None:
        return
    try:
        check_integer(name, number, 0, n - 1)
    except ArgumentError:
        raise ArgumentError(
            f"{name}: expected a number from 0 to {n - 1} ({model.name} has {n} {what}), got "
            f"{number!r}"
        ) from None


def _same_sequences(chains: Sequence[ViewChain]) -> list[str]:
    """Notes on chains that share a forward pass."""
    groups: dict[str, list[str]] = {}
    for one in chains:
        groups.setdefault(one.protein.sequence, []).append(one.id)
    return [
        f"chain {', '.join(others)}: same sequence as {first}, so the same arcs"
        for first, *others in groups.values()
        if others
    ]


def _shown_name(model: Model) -> str:
    """What the page calls a model: of a folder, nothing of where it lies."""
    place = Path(model.name)
    return place.resolve().name if place.is_absolute() or place.is_dir() else model.name


def _text(text: str) -> str:
    """Text that UTF-8 can hold: bytes of file names that are none become escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def _opening(heads: pd.DataFrame, layer: int | None, head: int | None) -> tuple[int, int]:
    """The best-ranked head, among those of a layer or a number if one is given."""
    fits = heads
    if layer is not None:
        fits = fits[fits["layer"] == layer]
    if head is not None:
        fits = fits[fits["head"] == head]
    best = fits.iloc[0]
    return int(best["layer"]), int(best["head"])
