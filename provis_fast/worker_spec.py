"""What another process needs to make a worker (`provis_fast.worker`) of an analysis."""

from __future__ import annotations

import os
import pickle
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from provis_fast.errors import ArgumentError, ModelError
from provis_fast.measures import Measures
from provis_fast.models import Model
from provis_fast.models.origin import Origin
from provis_fast.plan import PackPlanner
from provis_fast.stages import Stages
from provis_fast.worker import Worker


@dataclass(frozen=True)
class WorkerSpec:
    """All that another process needs to make a worker; can be pickled.

    Attributes
    ----------
    origin : Origin
        Where the model was loaded from.
    digest : str
        Of the model.
    device : str
    measures : Measures
    planning : dict
        Options of `PackPlanner`: batch_tokens, max_length, every_pair_known, permutations.
    threads : int, optional
    spans : int
        How many spans to keep for a trace; see `provis_fast.stages`.
    tables : tuple of str
        Tables of single proteins that are wanted; see `Worker`.
    """

    origin: Origin
    digest: str
    device: str
    measures: Measures
    planning: dict[str, Any]
    threads: int | None = None
    spans: int = 0
    tables: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        model: Model,
        measures: Measures,
        planner: PackPlanner,
        threads: int | None = None,
        tables: Sequence[str] = (),
    ) -> WorkerSpec:
        """The description of an analysis whose objects this process has.

        Raises
        ------
        ArgumentError
            The model was not made by `load_model`, or a property cannot be pickled; the message
            names it.
        """
        if model.origin is None:
            raise ArgumentError(
                f"model: {model.name} was not loaded by load_model, so other processes cannot load "
                "it: save it in a folder and load that, or analyse in this process alone"
            )
        for prop in measures.properties:
            try:
                pickle.dumps(prop)
            except Exception as error:  # whatever the pickled object raises
                raise ArgumentError(
                    f"properties: {prop.name!r} cannot be sent to other processes "
                    f"({type(error).__name__}: {error}); give it a mapping, or a function that is "
                    "defined at the top of a module (no lambda), or analyse in this process alone"
                ) from error
        planning = {
            name: getattr(planner, name)
            for name in ("batch_tokens", "max_length", "every_pair_known", "permutations")
        }
        device = str(model.device)
        spans = planner.stages.room
        wanted = tuple(tables)
        return cls(model.origin, model.digest, device, measures, planning, threads, spans, wanted)

    def start(self) -> Worker:
        """Load the model and make a worker; use it as a context manager.

        Raises
        ------
        ModelError
            The model cannot be loaded here, or is another one here.
        """
        model = self.origin.load(self.device)
        if model.digest != self.digest:
            raise ModelError(
                f"{model.name}: the weights in {self.origin.place} are not those that the analysis "
                "began with; they were changed, in memory or on the disk. Save the model and load "
                "it anew"
            )
        stages = Stages(f"worker {os.getpid()} on {platform.node()}", spans=self.spans)
        planner = PackPlanner(model, self.measures.properties, stages=stages, **self.planning)
        return Worker(model, self.measures, planner, tables=self.tables, threads=self.threads)
