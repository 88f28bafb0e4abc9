"""What an analysis tells while it runs: one callable receives objects of these types.

    def listen(event):
        if isinstance(event, Progress):
            print(event.proteins, event.seconds_left)

    analyze(model, proteins, events=listen)

They come from the thread that called `analyze`, in the order in which things happen: `Started`
first, `Ended` last, whatever happens between them. An exception that the callable raises ends the
analysis. The command line writes them as JSON lines (``--log-json``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Started:
    """The analysis begins.

    Attributes
    ----------
    model : dict
        Name, digest and shape of the model, as in the manifest.
    inputs : list of dict
        Name, bytes and SHA-256 of each file, as in the manifest.
    options : dict
        Resolved options.
    versions : dict
        Of this package and the libraries it uses.
    device : str
        Where the model runs.
    proteins, tokens : int
        Done by earlier sessions, which this one goes on with; 0 where there is none.
    shard : tuple of (int, int)
        This share, from 1, and the number of shares.
    """

    model: Mapping[str, Any]
    inputs: list[Mapping[str, Any]]
    options: Mapping[str, Any]
    versions: Mapping[str, Any]
    device: str = ""
    proteins: int = 0
    tokens: int = 0
    shard: tuple[int, int] = (1, 1)


@dataclass(frozen=True)
class Progress:
    """How far it has come. At most ten a second, and a last one.

    Attributes
    ----------
    proteins : int
        Done: analysed, or set aside. Those of earlier sessions count.
    tokens : int
        Run through the model, by earlier sessions too.
    total : int or None
        Proteins altogether (of this shard): counted, or estimated, or not known.
    seconds : float
        Since this session began.
    seconds_left : float or None
        Estimated from the speed of late.
    rates : dict of str to float
        Proteins per second by stage; see `provis_fast.stages`.
    limit : str or None
        The stage that the others wait for.
    """

    proteins: int
    tokens: int
    total: int | None
    seconds: float
    seconds_left: float | None = None
    rates: Mapping[str, float] = field(default_factory=dict)
    limit: str | None = None


@dataclass(frozen=True)
class RecordSetAside:
    """A record is not analysed.

    Attributes
    ----------
    id : str
    status : {"skipped", "failed"}
    reason : str
    source : str
        Name of its file.
    line : int or None
        Of the file, from 1.
    """

    id: str
    status: str
    reason: str
    source: str = ""
    line: int | None = None


@dataclass(frozen=True)
class Checkpointed:
    """A checkpoint is on the disk: an analysis that is killed goes on from here.

    Attributes
    ----------
    proteins : int
        Done until then.
    path : str
    seconds : float
        That writing it took.
    """

    proteins: int
    path: str
    seconds: float


@dataclass(frozen=True)
class WorkerStarted:
    """A worker process is ready.

    Attributes
    ----------
    name, device : str
    """

    name: str
    device: str = ""


@dataclass(frozen=True)
class WorkerDied:
    """A worker process has ended before its time; what it was doing is done again.

    Attributes
    ----------
    name, reason : str
    """

    name: str
    reason: str


@dataclass(frozen=True)
class Ended:
    """The analysis is over.

    Attributes
    ----------
    status : {"complete", "interrupted", "failed"}
        "failed": by an exception; what it says is in `reason`.
    analysed, skipped, failed, tokens : int
        Of all sessions.
    seconds : float
        Since this session began.
    stage_seconds : dict of str to float
        Spent in each stage, in all threads and processes together.
    rates, limit
        As in `Progress`.
    cpu_seconds : float
        Of all cores, child processes that have ended included.
    reason : str
    """

    status: str
    analysed: int
    skipped: int
    failed: int
    tokens: int
    seconds: float
    stage_seconds: Mapping[str, float] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)
    limit: str | None = None
    cpu_seconds: float = 0.0
    reason: str = ""


Event = Started | Progress | RecordSetAside | Checkpointed | WorkerStarted | WorkerDied | Ended

#: Called with each event.
EventCallback = Callable[[Event], None]
