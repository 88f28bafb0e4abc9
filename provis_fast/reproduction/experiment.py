"""Run the paper's experiment: every property on its own data set, with the paper's options."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from provis_fast.arguments import check_integer
from provis_fast.engine import Interrupted, analyze
from provis_fast.errors import ArgumentError, InputError
from provis_fast.models import Model, load_model
from provis_fast.proteins.record import AMINO_ACIDS
from provis_fast.reproduction.comparison import Comparison, check_shape, compare
from provis_fast.reproduction.datasets import (
    DATA_SETS,
    PROPERTIES,
    BackgroundProteins,
    DataFile,
    DataSet,
    DrawnProteins,
    draw,
    find,
)
from provis_fast.reproduction.published_heads import (
    PUBLISHED_PROTEINS,
    PublishedModel,
    published,
    published_name,
)
from provis_fast.similarity import AminoAcidSimilarity, amino_acid_similarity
from provis_fast.statistics import HeadStatistics

THRESHOLD = 0.3
MIN_ARCS = 100
SEED = 123

#: What each property is compared by; the paper shows no residues without secondary structure.
CLASSES: dict[str, tuple[str, ...]] = {
    "contact": ("contact",),
    "amino_acid": tuple(AMINO_ACIDS),
    "secondary_structure": ("helix", "strand", "turn"),
    "binding_site": ("binding_site",),
    "modification": ("modification",),
}

#: Called with the data set's name, the proteins and tokens done, and the proteins altogether; once
#: with nothing done before the data set is read.
ReproductionProgress = Callable[[str, int, int, int | None], None]


@dataclass(eq=False)
class DataSetOutcome:
    """What became of one data set.

    Attributes
    ----------
    data_set : DataSet
    properties : tuple of str
        Asked for.
    file : DataFile or None
        None where none was found.
    records, drawn : int
        Of the file.
    result : HeadStatistics or None
        Of the drawn proteins.
    reason : str or None
        Why there is no result.
    """

    data_set: DataSet
    properties: tuple[str, ...]
    file: DataFile | None = None
    records: int = 0
    drawn: int = 0
    result: HeadStatistics | None = None
    reason: str | None = None

    @property
    def n_population(self) -> int | None:
        """Proteins that the paper drew from, where these were drawn from the same."""
        return self.records if self.file is not None and self.file.is_papers else None

    def missing(self) -> Iterator[tuple[str, str]]:
        """Properties that were asked for and could not be measured, and why."""
        for name in self.properties:
            if self.result is None:
                yield name, self.reason or "interrupted before it was analysed"
            elif name in self.result.unknown_properties:
                yield name, f"{self.file.name} says nothing of it for any protein"


@dataclass(eq=False)
class Reproduction:
    """The experiment's outcome.

    Attributes
    ----------
    model : dict
        name, digest, dtype and what else is known of it.
    published : PublishedModel or None
        What it is compared with.
    n_proteins, seed : int
        Asked for.
    data_sets : tuple of DataSetOutcome
        Each with its `HeadStatistics`.
    notes : tuple of str
    complete : bool
        False where it was interrupted.
    comparisons : dict of str to tuple of Comparison
        By property, one for each class.
    similarity : AminoAcidSimilarity or None
        Of amino acids, where they were analysed.
    """

    model: Mapping[str, Any]
    published: PublishedModel | None
    n_proteins: int
    seed: int
    data_sets: tuple[DataSetOutcome, ...]
    notes: tuple[str, ...] = ()
    complete: bool = True
    comparisons: dict[str, tuple[Comparison, ...]] = field(init=False)
    similarity: AminoAcidSimilarity | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.comparisons = {}
        missing = self.missing
        for outcome in self.data_sets:
            for name in outcome.properties:
                if name not in missing:
                    self.comparisons[name] = tuple(self._compared(outcome, name))
                    if name == "amino_acid":
                        value = self.published.blosum62 if self.published else None
                        self.similarity = amino_acid_similarity(outcome.result, value)

    def _compared(self, outcome: DataSetOutcome, name: str) -> Iterator[Comparison]:
        properties = self.published.properties if self.published else {}
        for class_name in CLASSES[name]:
            yield compare(
                outcome.result, name, class_name, properties.get(name), outcome.n_population
            )

    @property
    def missing(self) -> dict[str, str]:
        """Properties that could not be measured, and why."""
        return {name: reason for outcome in self.data_sets for name, reason in outcome.missing()}

    @property
    def failed(self) -> int:
        """Drawn proteins that could not be analysed."""
        return sum(o.result.failed for o in self.data_sets if o.result is not None)

    def to_text(self) -> str:
        """Tables for a terminal, 1-based; see `provis_fast.reproduction.text`."""
        from provis_fast.reproduction import text

        return text.to_text(self)

    def save(self, folder: str | PathLike[str]) -> None:
        """Write everything into a folder; see `provis_fast.reproduction.saving`."""
        from provis_fast.reproduction import saving

        saving.save(self, folder)


class InterruptedReproduction(KeyboardInterrupt):
    """Ctrl-C during the experiment.

    Attributes
    ----------
    partial : Reproduction
        Of what was analysed until then; `complete` is False.
    """

    def __init__(self, partial: Reproduction):
        super().__init__("interrupted")
        self.partial = partial


def reproduce(
    model: Model | str | PathLike[str],
    data: str | PathLike[str],
    properties: str | Iterable[str] = PROPERTIES,
    *,
    proteins: int = PUBLISHED_PROTEINS,
    seed: int = SEED,
    model_name: str | None = None,
    batch_tokens: int | None = None,
    threads: int | None = None,
    progress: ReproductionProgress | None = None,
) -> Reproduction:
    """The experiment of the paper for a model and a folder of its data sets.

    Each property is measured on the data set of the paper: arcs of attention >= 0.3, the first 510
    residues (512 tokens) of each protein, ``compat="provis"``, background over the whole file. The
    original shuffled with a generator whose state depended on how the model had been built, so its
    very proteins cannot be drawn again; numbers are compared within sampling error.

    Parameters
    ----------
    model : Model, str or path
        From `load_model`, or what that takes.
    data : str or path
        Folder laid out as TAPE and provis do; see `provis_fast.reproduction.datasets`.
    properties : str or iterable of str
        Of contact, amino_acid, secondary_structure, binding_site, modification; default all.
    proteins : int
        Drawn from each data set; all of it where it has fewer.
    seed : int
        Of the draw.
    model_name : str, optional
        One of `PUBLISHED_MODELS`, whose published numbers are to be compared with. Default: told by
        the model's name; without such a name nothing is compared.
    batch_tokens, threads : int, optional
        See `provis_fast.analyze`.
    progress : callable, optional
        Called with data set, proteins and tokens done, and proteins altogether.

    Returns
    -------
    Reproduction
        `missing` says what could not be measured, and why.

    Raises
    ------
    ArgumentError
        A bad argument, by name; a model of another shape than the one named by `model_name`.
    InputError
        Nothing at all could be measured; the message lists the files that were looked for and where
        one gets them.
    ModelError
        The model cannot be found or analysed.
    InterruptedReproduction
        On Ctrl-C; carries what there is.

    Examples
    --------
    >>> import provis_fast as pf
    >>> outcome = pf.reproduce("tape-bert", "data/", ["contact"])  # doctest: +SKIP
    >>> print(outcome.to_text())  # doctest: +SKIP
    >>> outcome.comparisons["contact"][0].rows[0].difference  # doctest: +SKIP
    """
    n_proteins = check_integer("proteins", proteins, 1, None)
    seed = check_integer("seed", seed, 0, None)
    named = None if model_name is None else published(model_name)
    outcomes = look_for(data, properties)
    if not isinstance(model, Model):
        model = load_model(model)
    notes: list[str] = []
    theirs = _published_of(model, named, notes)

    def made(complete: bool) -> Reproduction:
        return Reproduction(
            model.summary(), theirs, n_proteins, seed, tuple(outcomes), tuple(notes), complete
        )

    options = {"batch_tokens": batch_tokens, "threads": threads}
    try:
        for outcome in outcomes:
            if outcome.file is not None:
                _run(model, outcome, n_proteins, seed, progress, options)
    except KeyboardInterrupt as error:
        if isinstance(error, Interrupted) and error.partial.analysed:
            outcome.result = error.partial
        raise InterruptedReproduction(made(complete=False)) from None
    _check_something(outcomes)
    return made(complete=True)


def look_for(
    data: str | PathLike[str], properties: str | Iterable[str] = PROPERTIES
) -> list[DataSetOutcome]:
    """Find the data sets of some properties, without reading them; see `reproduce`.

    Returns
    -------
    list of DataSetOutcome
        Those without a file have the reason.

    Raises
    ------
    ArgumentError
        A property that is none of the paper's.
    InputError
        There is no such folder, or none of the data sets in it.
    """
    asked = _checked_properties(properties)
    folder = Path(data)
    if not folder.is_dir():
        raise InputError(
            "data: there is no such folder; expected one with the paper's data sets", folder
        )
    outcomes = [
        DataSetOutcome(data_set, tuple(name for name in data_set.properties if name in asked))
        for data_set in DATA_SETS
        if set(data_set.properties) & set(asked)
    ]
    for outcome in outcomes:
        outcome.file = find(outcome.data_set, folder)
        if outcome.file is None:
            outcome.reason = f"no file of the data set {outcome.data_set.name} in {folder}"
    _check_something(outcomes)
    return outcomes


def _run(
    model: Model,
    outcome: DataSetOutcome,
    n_proteins: int,
    seed: int,
    progress: ReproductionProgress | None,
    options: Mapping[str, Any],
) -> None:
    """Analyse the drawn proteins of a data set; what its file lacks becomes the reason."""
    name, file = outcome.data_set.name, outcome.file
    try:
        outcome.records = file.count()
        numbers = draw(outcome.records, n_proteins, seed)
        outcome.drawn = len(numbers)
        if progress is not None:
            progress(name, 0, 0, outcome.drawn)
        outcome.result = analyze(
            model,
            DrawnProteins(file, numbers, outcome.records, seed),
            outcome.properties,
            THRESHOLD,
            min_arcs=MIN_ARCS,
            compat="provis",
            background=BackgroundProteins(file),
            progress=None if progress is None else lambda *done: progress(name, *done),
            **options,
        )
    except InputError as error:
        outcome.reason = str(error)


def _checked_properties(properties: str | Iterable[str]) -> tuple[str, ...]:
    asked = (properties,) if isinstance(properties, str) else tuple(properties)
    for name in asked:
        if name not in PROPERTIES:
            raise ArgumentError(
                f"properties: the paper's are {', '.join(PROPERTIES)}; got {name!r}"
            )
    if not asked:
        raise ArgumentError(f"properties: expected some of {', '.join(PROPERTIES)}, got none")
    return asked


def _published_of(
    model: Model, named: PublishedModel | None, notes: list[str]
) -> PublishedModel | None:
    """The numbers to compare with; a note where they are none, or of another model."""
    if named is not None:
        check_shape(model.n_layers, model.n_heads, named)
        return named
    guessed = published_name(model.name)
    if guessed is None:
        notes.append(f"{model.name} is none of the paper's models: nothing to compare with")
        return None
    try:
        check_shape(model.n_layers, model.n_heads, published(guessed))
    except ArgumentError as error:
        notes.append(f"nothing to compare with: {str(error).removeprefix('model_name: ')}")
        return None
    return published(guessed)


def _check_something(outcomes: Iterable[DataSetOutcome]) -> None:
    """InputError where nothing can be, or nothing has been, measured."""
    lines = ["nothing can be measured:"]
    for outcome in outcomes:
        if outcome.reason is None and outcome.result is None:
            return  # still to come
        missing = dict(outcome.missing())
        if len(missing) < len(outcome.properties):
            return
        for reason in dict.fromkeys(missing.values()):
            lines.append(
                f"  {', '.join(name for name in missing if missing[name] == reason)}: {reason}"
            )
        lines += whence(outcome)
    raise InputError("\n".join(lines))


def whence(outcome: DataSetOutcome) -> list[str]:
    """Which files of a data set were looked for, and where one gets them, as indented lines."""
    if outcome.file is not None:
        return []
    data_set = outcome.data_set
    return [f"    looked for {data_set.expected()}", f"    to be had from {data_set.whence}"]
