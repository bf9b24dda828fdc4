"""``tune``: choose thresholds and post-processing steps on out-of-fold predictions, and put them into the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ercpseg.documents.plan import Plan
from ercpseg.documents.tuning import TunedStructure, Tuning
from ercpseg.errors import UsageError
from ercpseg.pipeline.known import Planned, known_name, load_planned
from ercpseg.pipeline.prepare import resolve_device
from ercpseg.progress import SILENT, Progress
from ercpseg.storage import documents
from ercpseg.storage.workspace import Workspace
from ercpseg.version import __version__

if TYPE_CHECKING:
    from ercpseg.pipeline.out_of_fold import HeldOutFrames
    from ercpseg.postprocess.choose import Candidates


@dataclass(frozen=True)
class TuneOptions:
    """What to tune on what; None = all structures, all trained folds."""

    structures: tuple[str, ...] | None = None
    folds: tuple[str, ...] | None = None
    device: str = "auto"
    restart: bool = False


@dataclass(frozen=True)
class Tuned:
    """A tuning, where it is written, and the model that has it. ``fresh`` is False when it was there already."""

    tuning: Tuning
    file: Path
    model: Path
    plan: Plan
    fresh: bool


def tune(
    dataset: str | Path,
    *,
    workspace: Workspace | str | Path | None = None,
    options: TuneOptions = TuneOptions(),
    progress: Progress = SILENT,
) -> Tuned:
    """Choose thresholds and steps of a dataset's structures on the frames that its trained folds held out.

    The same call again does nothing while the plan, the folds and the candidates are the same (``restart`` chooses anew).
    Structures that are not named keep what was chosen for them on the same folds.

    Raises
    ------
    UsageError
        when no fold is trained, or a structure or fold does not exist.
    DataError
        when no frame is held out.
    """
    from ercpseg.planner.candidates import candidates, candidates_sha256
    from ercpseg.training.model import current_tuning, export_model, trained_folds

    space = workspace if isinstance(workspace, Workspace) else Workspace.default(workspace)
    planned = load_planned(space, known_name(dataset, space))
    names = _structures(planned.plan, options.structures)
    with space.locked():
        trained = trained_folds(space, planned.plan)
        folds = _folds(planned, trained, options.folds)
        found = candidates(planned.plan, planned.fingerprint)
        sums = {name: candidates_sha256(found[name]) for name in found}
        old, stale = current_tuning(space, planned.plan)
        if stale:
            progress.say(f"the tuning before this one does not count any more: {stale}")
        kept = old.tuned if old is not None and old.folds == folds else {}
        kept = {n: t for n, t in kept.items() if old is not None and old.candidates_sha256.get(n) == sums[n]}
        fresh = options.restart or old is None or not set(names) <= set(kept)
        if fresh:
            job = _Job(space, planned, names, found, sums, trained, folds, kept)
            tuning = job.run(resolve_device(options.device), progress)
            documents.save(space.tuning_file(planned.dataset.name), tuning)
        else:
            assert old is not None  # noqa: S101  # else it would be fresh
            tuning = old
        model = export_model(space, planned.dataset, planned.plan, planned.fingerprint)
    return Tuned(tuning, space.tuning_file(planned.dataset.name), model, planned.plan, fresh)


@dataclass(frozen=True)
class _Job:
    """One tuning: which structures by which candidates (with their hashes), on which folds, and what is kept of before."""

    space: Workspace
    planned: Planned
    names: tuple[str, ...]
    found: Mapping[str, Candidates]
    sums: Mapping[str, str]
    trained: Mapping[str, str]
    folds: tuple[str, ...]
    kept: Mapping[str, TunedStructure]

    def run(self, device: str, progress: Progress) -> Tuning:
        """Predict what is not predicted yet, try the candidates, and say what was chosen."""
        from ercpseg.pipeline.out_of_fold import held_out, predict_held_out

        plan = self.planned.plan
        held = held_out(self.space, self.planned, self.folds)
        for warning in held.warnings:
            progress.say(f"warning: {warning}")
        for fold in dict.fromkeys(frame.fold for frame in held.frames):
            mine = [frame for frame in held.frames if frame.fold == fold]
            predict_held_out(self.space, self.planned, fold, mine, device=device, progress=progress)
        tuned = self._choose(held, progress)
        return Tuning.new(
            dataset=self.planned.dataset.name,
            plan_sha256=plan.sha256,
            candidates_sha256={n: self.sums[n] for n in tuned},
            trained=dict(self.trained),
            folds=self.folds,
            mirrored=bool(plan.values.augmentation.mirror_axes),
            frames=len(held.frames),
            patients=len({frame.group for frame in held.frames}),
            left_out=held.left_out,
            tuned={n: tuned[n] for n in plan.values.heads.structures if n in tuned},
            ercpseg_version=__version__,
            warnings=held.warnings,
        )

    def _choose(self, held: HeldOutFrames, progress: Progress) -> dict[str, TunedStructure]:
        """Structure by structure; those whose steps look at others last, so that they see what was chosen for these."""
        from ercpseg.pipeline.measure import Measurer
        from ercpseg.postprocess.choose import Setting, search

        measurer = Measurer(held, self.planned.plan)
        tuned = dict(self.kept)
        standing = {n: c.default for n, c in self.found.items()}
        standing |= {n: Setting(t.threshold, t.steps) for n, t in tuned.items()}
        for name in sorted(self.names, key=lambda n: self.found[n].looks):
            with progress.task(f"Tuning {name}", self.found[name].count * len(held.frames)) as task:
                measure = partial(measurer.measure, name, self.found[name].metric, standing, task)
                tuned[name] = search(self.found[name], measure)
            standing[name] = Setting(tuned[name].threshold, tuned[name].steps)
        return tuned


def _structures(plan: Plan, wanted: tuple[str, ...] | None) -> tuple[str, ...]:
    there = plan.values.heads.structures
    unknown = [name for name in wanted or () if name not in there]
    if unknown:
        raise UsageError(
            f"there is no structure {', '.join(n[:40] for n in unknown)}",
            where="--structures",
            expected=f"of {', '.join(there)}",
        )
    return tuple(name for name in there if wanted is None or name in wanted)


def _folds(planned: Planned, trained: Mapping[str, str], wanted: tuple[str, ...] | None) -> tuple[str, ...]:
    name, count = planned.dataset.name, planned.plan.values.folds.count
    if not trained:
        raise UsageError(
            f"no fold of {name} that holds frames out is trained",
            where="DATASET",
            expected=f"one of the folds 0 to {count - 1}: tuning uses only frames that a fold has not seen",
            todo=f"run ercpseg train {name} 0 first",
        )
    missing = [fold for fold in wanted or () if fold not in trained]
    if missing:
        raise UsageError(
            f"fold {', '.join(f[:16] for f in missing)} of {name} is not trained",
            where="--fold",
            expected=f"of {', '.join(trained)}",
        )
    return tuple(fold for fold in trained if wanted is None or fold in wanted)
