"""Analyse a corpus: plan packs, run the model over them, add up what the kernels count.

Two threads share the work. One reads proteins and prepares packs (`provis_fast.plan`); the other,
the caller's, runs the model, whose attention is computed by our kernels (`provis_fast.worker`), and
adds each finished unit to the result (`provis_fast.analysis_run`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from os import PathLike
from typing import TYPE_CHECKING, Any

from provis_fast.analysis_plan import check_count, describe, planned
from provis_fast.analysis_run import AnalysisRun
from provis_fast.arguments import check_integer, check_seconds
from provis_fast.checkpoint import SPOOL, Checkpoints
from provis_fast.distributed import Workers
from provis_fast.errors import InputError
from provis_fast.events import EventCallback
from provis_fast.folder_lock import locked
from provis_fast.interruptions import Interrupted
from provis_fast.models import Model
from provis_fast.outcome import check_outcome
from provis_fast.per_protein.collecting import Wanted
from provis_fast.properties import Property
from provis_fast.proteins import Protein
from provis_fast.statistics import HeadStatistics
from provis_fast.tap import Tap, attach
from provis_fast.threads import MAX_THREADS, thread_count
from provis_fast.trace import traced
from provis_fast.watch import ProgressCallback, Watch

if TYPE_CHECKING:
    from provis_fast.proteins import ProteinSource

__all__ = ["Interrupted", "ProgressCallback", "Tap", "analyze", "attach", "describe"]


def analyze(
    model: Model | str | PathLike[str],
    proteins: ProteinSource | Iterable[Protein] | str | PathLike[str] | Sequence[Any],
    properties: str | Property | Iterable[str | Property] = ("amino_acid",),
    threshold: float | Sequence[float] = 0.3,
    *,
    layers: Sequence[int] | None = None,
    weighting: str = "arcs",
    batch_tokens: int | None = None,
    max_length: int | None = None,
    min_arcs: int = 100,
    entropy: bool = False,
    compat: str | None = None,
    background: ProteinSource | Iterable[Protein] | str | PathLike[str] | None = None,
    bootstrap: int = 0,
    permutations: int = 0,
    threads: int | None = None,
    engine: str | None = None,
    workers: int | None = None,
    devices: str | Sequence[str] | None = None,
    arcs: str | PathLike[str] | None = None,
    per_protein: str | Iterable[str] = (),
    per_protein_folder: str | PathLike[str] | None = None,
    shard: tuple[int, int] | None = None,
    checkpoint: str | PathLike[str] | None = None,
    checkpoint_seconds: float = 60.0,
    resume: bool = True,
    readers: int | None = None,
    progress: ProgressCallback | None = None,
    events: EventCallback | None = None,
    profile: str | PathLike[str] | None = None,
) -> HeadStatistics:
    """Statistics of a model's attention over proteins, property by property and head by head.

    Parameters
    ----------
    model : Model, str or path
        From `load_model`, or what that takes.
    proteins : ProteinSource, iterable of Protein, str or path, or a sequence of them
        From `load_proteins`, or what that takes.
    properties : str, Property, or iterable of both
        Names (`provis_fast.properties.REGISTRY`) or properties of your own.
    threshold : float or sequence of float in (0, 1]
        A pair (i, j) is an arc of a head where its attention is at least this. A sequence gives the
        result's arrays a leading axis.
    layers : sequence of int, optional
        Layers to analyse, counted from 0; default all. Layers after the last one are not computed.
    weighting : {"arcs", "attention", "both"}
        Count arcs, weigh by attention, or both.
    batch_tokens : int, optional
        Tokens of one forward pass; default 1,536 on the CPU and 16,384 elsewhere. Attention may
        change in its last places with this number.
    max_length : int, optional
        Analyse the first `max_length` residues of longer proteins, and note that they were cut.
        Without it, proteins that do not fit the model's positions are skipped.
    min_arcs : int
        Proportions are undefined (NaN) for heads with fewer eligible arcs.
    entropy : bool
        Also measure the entropy of the rows of attention.
    compat : {"provis"}, optional
        Count as the original code of the paper did; see `provis_fast.compat`.
    background : as `proteins`, optional
        With `compat`: the corpus of the background. Default: the analysed proteins.
    bootstrap : int
        Replicates of a Poisson bootstrap over proteins to count as well, 10,000 at most; see
        `HeadStatistics.bootstrap`.
    permutations : int
        Permutations to count as well, 1,000 at most, in which what is known of residues is shifted
        along each protein; see `HeadStatistics.permutations`. Each costs what further properties
        do. Replicates of either kind follow from the proteins alone
        (`provis_fast.resampling`). With `compat` they are made of what it counts: unknown residues,
        which are negative there, shift along, and a `background` of its own is not resampled.
    threads : int, optional
        Threads of the model and the kernels, 1,024 at most; default `torch.get_num_threads()`. With
        several workers: of each; by default they share the cores.
    engine : {"serial", "processes", "ray"}, optional
        Analyse in this process, in processes of this machine, or as actors of Ray. Default: in this
        process, unless `workers` or `devices` are given. Numbers do not depend on it. Worker
        processes load the model themselves, from where `load_model` had it; functions of your own
        properties must be defined in a module that they can import.
    workers : int, optional
        How many; default one for each of `devices`.
    devices : str or sequence of str, optional
        Devices of worker processes, such as ``["cuda:0", "cuda:1"]``, dealt out in turn; default
        that of the model. For Ray ``"cuda"``: a GPU for each worker.
    arcs : str or path, optional
        List every arc of the smallest threshold in this file (`provis_fast.arcs`), which appears,
        and replaces an earlier one, once the analysis is complete. Packs whose arcs take more than
        `provis_fast.arc_lists.MAX_BYTES` are run again in halves.
    per_protein : str or iterable of str
        Tables of single proteins to keep: "counts", "received" (attention that each residue
        receives), "arcs". See `provis_fast.per_protein`; read them with `read_per_protein`.
    per_protein_folder : str or path, optional
        Where the tables go: a folder that appears, and replaces an earlier one, once the analysis
        is complete. `HeadStatistics.save` takes it along. Until then rows wait beside it, or in
        the folder of the checkpoint, so that up to twice their room is needed on the disk.
    shard : (int, int), optional
        (i, n): analyse the i-th (from 1) of n equal shares of the input. All n results, merged in
        any order, are that of the whole, to the last bit. Each reads all of the input, so that
        duplicates are the same.
    checkpoint : str or path, optional
        A folder where the state of the run is kept (`provis_fast.checkpoint`): a run that was
        killed, interrupted or has failed goes on from there when it is started again, and ends with
        the same result. The state of a finished run stays, too; delete it when the result is saved.
        The folder is locked meanwhile: a second analysis in it is refused.
    checkpoint_seconds : float
        From one checkpoint to the next; 0 writes one after every pack.
    resume : bool
        False begins anew, and deletes what is kept there.
    readers : int, optional
        Processes that read the input, in its order, while the model runs; 0 reads in a thread of
        this one. The result is the same. Default: 0, or, for many structures, one for every four
        cores (`provis_fast.proteins.reading_ahead`).
    progress : callable, optional
        Called after every pack, and where records were set aside, with the proteins done (those set
        aside included), the tokens done, and the proteins altogether: counted, estimated from the
        files read so far, or None.
    events : callable, optional
        Called with what happens, as it happens; see `provis_fast.events`.
    profile : str or path, optional
        Write the stages of the analysis, thread by thread, into this file as a Chrome trace
        (`provis_fast.trace`), however the analysis ends.

    Returns
    -------
    HeadStatistics
        Records that could not be analysed are listed in it (`set_aside`) with their reasons; one
        warning in the log tells how many.

    Raises
    ------
    ArgumentError
        A bad argument, by name.
    InputError
        No usable input at all: no such file, an unknown format, or every record read was skipped or
        has failed; the message has the first reasons.
    ModelError
        The model cannot be found, or is of a kind that cannot be analysed.
    Interrupted
        On Ctrl-C; carries the partial result.
    ResultError
        The file of arcs, the folder of tables or the file of the profile cannot be written; a
        checkpoint is damaged, or that of another run (the message lists what differs); another
        analysis is at work in its folder.
    WorkerError
        Worker processes cannot be started, or keep dying.
    """
    threads = check_count("threads", threads, MAX_THREADS)
    team = Workers.checked(engine, workers, devices)
    if readers is not None:
        readers = check_integer("readers", readers, 0)
    plan = planned(
        model,
        proteins,
        properties,
        threshold,
        layers=layers,
        weighting=weighting,
        batch_tokens=batch_tokens,
        max_length=max_length,
        min_arcs=min_arcs,
        entropy=entropy,
        compat=compat,
        background=background,
        bootstrap=bootstrap,
        permutations=permutations,
        shard=shard,
        devices=devices,
    )
    result = plan.result
    wanted = Wanted.checked(per_protein, per_protein_folder, arcs, weighting)
    checkpoints = None
    if checkpoint is not None:
        checkpoints = Checkpoints(
            checkpoint, check_seconds("checkpoint_seconds", checkpoint_seconds)
        )
    place = None if checkpoints is None else checkpoints.folder / SPOOL
    with (
        nullcontext() if checkpoints is None else locked(checkpoints.folder),
        traced(profile) as stages,
        thread_count(threads),
        wanted.collected(plan.measures, plan.shard, place) as tables,
    ):
        if checkpoints is not None and not resume:
            checkpoints.remove()
        plan.planner.stages = stages
        watch = Watch(progress, events, stages)
        run = AnalysisRun(
            plan.model,
            plan.measures,
            plan.planner,
            result,
            plan.source,
            shard=plan.shard,
            watch=watch,
            readers=readers,
            checkpoints=checkpoints,
            tables=tables,
        )
        run.resume()
        where = ", ".join(team.devices) or plan.model.device
        with watch.over(result, where, plan.shard, run.earlier_tokens):
            try:
                if plan.corpus is not None:  # first: if it is of no use, it is known at once
                    run.read_background(plan.corpus)
                if team.engine == "serial":
                    run.serially()
                else:
                    team.analyse(run, threads)
            except BaseException as error:
                result.complete = False
                if result.shard is not None:
                    result.shard = result.shard._replace(parts=(), interrupted=result.shard.parts)
                if (
                    isinstance(error, InputError)
                    and not result.analysed
                    and checkpoints is not None
                ):
                    checkpoints.remove()  # the input is of no use: there is nothing to go on with
                else:
                    run.checkpoint()
                if isinstance(error, KeyboardInterrupt):
                    raise Interrupted(result) from None
                raise
            else:
                run.checkpoint()
            finally:
                run.stop_reading()
                run.finish()
                result.run[-1] |= team.told(threads, plan.model)
            if result.shard is None:  # of a shard, also nothing is a result
                try:
                    check_outcome(result)
                except InputError:
                    if checkpoints is not None:
                        checkpoints.remove()
                    raise
            if tables is not None:
                with stages.timed("write"):
                    tables.finish()
    return result
