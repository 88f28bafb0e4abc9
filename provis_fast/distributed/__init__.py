"""One analysis by several workers: on the GPUs or cores of a machine, or on a cluster by Ray.

The process that analyses reads the input once, cuts it into units (`provis_fast.units`), lends them
to workers and absorbs what comes back. What it adds up are integers, so that the result is the same
to the last bit whoever ran what, in whatever order, and whoever died meanwhile.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from provis_fast.arguments import check_integer
from provis_fast.errors import ArgumentError

if TYPE_CHECKING:
    from provis_fast.analysis_run import AnalysisRun
    from provis_fast.events import EventCallback
    from provis_fast.models import Model
    from provis_fast.partials import Partial
    from provis_fast.units import Block, Done, Shard, Unit
    from provis_fast.worker_spec import WorkerSpec

logger = logging.getLogger(__name__)

#: Ways to run an analysis: in this process, in processes of this machine, as actors of Ray.
ENGINES = ("serial", "processes", "ray")
_DEVICE = re.compile(r"cpu|cuda(:\d+)?")
#: More than this on one machine is a mistake.
MAX_PROCESSES = 1024


class Workers(NamedTuple):
    """Who runs an analysis.

    Attributes
    ----------
    engine : {"serial", "processes", "ray"}
    number : int
    devices : tuple of str
        Dealt out to the workers in turn; empty: that of the model.
    """

    engine: str = "serial"
    number: int = 1
    devices: tuple[str, ...] = ()

    @classmethod
    def checked(
        cls, engine: str | None, workers: int | None, devices: str | Sequence[str] | None
    ) -> Workers:
        """From a user's arguments; by default this process alone.

        Raises
        ------
        ArgumentError
            An argument that does not fit, by name.
        """
        if engine is not None and engine not in ENGINES:
            raise ArgumentError(f"engine: expected one of {', '.join(ENGINES)}, got {engine!r}")
        if workers is not None:
            workers = check_integer("workers", workers, 1, MAX_PROCESSES)
        devices = (devices,) if isinstance(devices, str) else tuple(devices or ())
        if not all(isinstance(name, str) and _DEVICE.fullmatch(name) for name in devices):
            raise ArgumentError(
                f"devices: expected names like 'cuda:0', or 'cpu', got {list(devices)!r}"
            )
        if len({device.partition(":")[0] for device in devices}) > 1:
            raise ArgumentError(
                f"devices: expected all of one kind, got {', '.join(devices)}: results would "
                "depend on which of them ran what"
            )
        if engine is None:
            engine = "serial" if workers is None and not devices else "processes"
        if engine == "serial" and (devices or workers not in (None, 1)):
            raise ArgumentError(
                'engine: "serial" is one worker on the device of the model; leave out workers and '
                'devices, or use engine="processes"'
            )
        if engine == "ray" and len(devices) > 1:
            raise ArgumentError(
                f'devices: expected one kind, "cuda" or "cpu", with engine="ray", got '
                f"{', '.join(devices)}: Ray gives each worker a GPU of its own"
            )
        number = workers if workers is not None else max(1, len(devices))
        return cls(engine, number, devices)

    def kind(self, model: Model) -> str:
        """Kind of device that the workers run on: "cpu" or "cuda"."""
        return self.devices[0].partition(":")[0] if self.devices else model.device.type

    def threads(self, given: int | None, model: Model) -> int | None:
        """Threads of each worker: as `given`, else on a CPU an equal share of the cores."""
        if given is not None or self.kind(model) != "cpu":
            return given
        return max(1, _cores() // self.number)

    def told(self, threads: int | None, model: Model) -> dict[str, Any]:
        """What a result says of the run: nothing where it ran in this process."""
        if self.engine == "serial":
            return {}
        told: dict[str, Any] = {"engine": self.engine, "workers": self.number}
        threads = self.threads(threads, model)
        return told if threads is None else told | {"threads": threads}

    def analyse(self, run: AnalysisRun, threads: int | None) -> None:
        """Have an analysis run by workers; see `partials` for what is raised.

        Parameters
        ----------
        run : AnalysisRun
            Absorbs what they have done.
        threads : int, optional
            Of each worker.
        """
        from provis_fast.worker_spec import WorkerSpec

        threads = self.threads(threads, run.model)
        spec = WorkerSpec.of(run.model, run.measures, run.planner, threads, run.tables)
        _tell_memory(self, run.model)
        found = partials(
            self, spec, run.planner.units, run.blocks(), run.done, run.shard, run.watch.tell
        )
        with closing(found):
            run.absorb_all(found)


def _tell_memory(workers: Workers, model: Model) -> None:
    weights = sum(tensor.nbytes for tensor in model.module.state_dict().values())
    logger.info(
        "%d worker(s) (%s), each with the %.1f GiB of %s in its memory",
        workers.number,
        workers.engine,
        weights / 2**30,
        model.name,
    )


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # a system that does not tell
        return os.cpu_count() or 1


def partials(
    workers: Workers,
    spec: WorkerSpec,
    plan: Callable[[Block], Sequence[Unit]],
    blocks: Iterator[Block],
    done: Done,
    shard: Shard,
    tell: EventCallback | None = None,
) -> Iterator[Partial]:
    """Run the units of an input by workers; to be closed where it is not read to its end.

    Parameters
    ----------
    workers : Workers
        Not "serial".
    spec : WorkerSpec
        Of each worker, but for its device.
    plan : callable
        From a block to its units.
    blocks : iterator of Block
        Read in another thread, as far as needed.
    done : Done
        Units that are not run; looked at, never changed, in the thread of the caller.
    shard : Shard
        Units of other shards are not run.
    tell : callable, optional
        Called with `WorkerStarted` and `WorkerDied`, in the thread of the caller.

    Yields
    ------
    Partial
        Each unit of the shard that is not done comes in one of them, once.

    Raises
    ------
    ArgumentError
        Ray is not installed, or something of the user's cannot be sent.
    WorkerError
        Workers cannot be started, or keep dying.
    Exception
        What a worker raises, or the reading of `blocks`.
    """
    from provis_fast.distributed.pool import Pool
    from provis_fast.distributed.scheduling import Schedule

    pool = Pool(_transport(workers, spec), workers.number, Schedule(plan, done, shard), tell)
    yield from pool.over(blocks)


def _transport(workers: Workers, spec: WorkerSpec) -> Any:
    if workers.engine == "ray":
        from provis_fast.distributed.ray_engine import RayActors

        device = workers.devices[0] if workers.devices else spec.device
        # Ray shows each actor one GPU, its own.
        device = "cuda:0" if device.startswith("cuda") else device
        return RayActors(replace(spec, device=device), workers.number)
    from provis_fast.distributed.processes import Processes

    devices = workers.devices or (spec.device,)
    return Processes(
        [replace(spec, device=devices[k % len(devices)]) for k in range(workers.number)]
    )
