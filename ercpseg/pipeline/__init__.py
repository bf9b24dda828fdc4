"""The system on one screen: its stages in order, what each reads and writes, and the function that runs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from ercpseg.pipeline.assess import evaluate
    from ercpseg.pipeline.learn import train
    from ercpseg.pipeline.prepare import plan

__all__ = ["STAGES", "Stage", "evaluate", "plan", "train"]


class Stage(NamedTuple):
    """One stage. ``function`` is 'module:name', imported when it runs, so that asking what exists costs nothing."""

    name: str
    reads: str
    writes: str
    function: str

    def load(self) -> Callable[..., Any]:
        """Import and return the function."""
        from importlib import import_module

        module, _, name = self.function.partition(":")
        return getattr(import_module(module), name)  # type: ignore[no-any-return]


STAGES = (
    Stage("import", "a folder", "canonical frames, bitmasks, frames.csv", "ercpseg.importers.dataset:import_dataset"),
    Stage("fingerprint", "frames and bitmasks", "fingerprint.json", "ercpseg.fingerprint.collect:fingerprint_dataset"),
    Stage("plan", "fingerprint, recipe, budget", "plan.json, plan.md", "ercpseg.planner.plan:make_plan"),
    Stage("preprocess", "frames, plan", "nnU-Net's store", "ercpseg.nnunet.preprocessor:preprocess"),
    Stage("train", "store, plan", "run folder", "ercpseg.training.run:train_fold"),
    Stage("tune", "run folders, frames, bitmasks", "tuning.json", "ercpseg.pipeline.tune:tune"),
    Stage("export", "run folders, tuning.json", "model folder", "ercpseg.training.model:export_model"),
    Stage("predict", "frames, model", "masks, labels, overlays, frames.csv", "ercpseg.pipeline.apply:predict"),
    Stage("evaluate", "two folders of masks", "scores.json, scores.csv", "ercpseg.pipeline.assess:evaluate"),
    Stage("report", "plan, runs, scores", "report.html", "ercpseg.pipeline.report:report"),
)
"""The order in which data pass through the rooms."""

_PUBLIC = {
    "plan": "ercpseg.pipeline.prepare",
    "train": "ercpseg.pipeline.learn",
    "evaluate": "ercpseg.pipeline.assess",
}


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        from importlib import import_module

        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'ercpseg.pipeline' has no attribute {name!r}")
