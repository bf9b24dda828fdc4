"""Synthetic frames that are mixed in (R12): what is made, what is drawn of it, and what it costs of the time."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ercpseg.documents.plan import Plan
from ercpseg.errors import Interrupted, UsageError
from ercpseg.frames.prepare import prepare
from ercpseg.nnunet.loader import build_loaders, synthetic_samples
from ercpseg.nnunet.state import RunState
from ercpseg.nnunet.store import ErcpDataset, index_path, read_fold, read_index
from ercpseg.pipeline import learn, pretrain, synthetic
from ercpseg.pipeline.known import load_planned
from ercpseg.pipeline.learn import made_ready, train
from ercpseg.progress import SILENT
from ercpseg.storage import documents
from ercpseg.storage.models import load_model
from ercpseg.storage.resources import shipped_models
from ercpseg.storage.workspace import Workspace
from ercpseg.synthesis.catalogue import find_domain
from ercpseg.synthesis.dataset import Options
from ercpseg.synthesis.studio import open_studio
from ercpseg.training.run import TrainOptions

COUNT = 3


def with_values(plan: Plan, **values: Any) -> Plan:
    """The plan with other values, keys with ``__`` for the dot."""
    changed = {key.replace("__", "."): value for key, value in values.items()}
    decisions = tuple(d.model_copy(update={"value": changed.get(d.key, d.value)}) for d in plan.decisions)
    return Plan.new(**{**plan.model_dump(exclude={"schema_"}), "decisions": [d.model_dump() for d in decisions]})


def mixing(plan: Plan, **values: Any) -> Plan:
    wanted = {"sampling__synthetic_frac": 0.25, "sampling__synthetic_frames": COUNT, **values}
    return with_values(plan, **wanted)


def made(space: Workspace, plan: Plan) -> ErcpDataset:
    found = synthetic.mixed(space, plan, progress=SILENT)
    assert found is not None
    return ErcpDataset(str(found.folder))


def drawn(number: int, side: int, seed: int = 1) -> Any:
    return open_studio(find_domain("any-room"), seed, number, side).frame(0)


def test_frames_are_scenes_prepared_as_the_plan_says_with_devices_dark(workspace: Workspace) -> None:
    """Bits, size and preparation are the plan's; polarity and grey scale are the scene's own."""
    plan = mixing(load_planned(workspace, "tiny").plan)
    turned = with_values(plan, preparation__invert=True, preparation__dataset_mean_sd=[100.0, 20.0])
    store = made(workspace, turned)
    assert len(store.identifiers) == COUNT
    side = plan.values.preparation.working_long_side_px
    structures = plan.structure_set
    own = plan.values.preparation.model_copy(update={"invert": False, "dataset_mean_sd": None})
    for number, name in enumerate(store.identifiers):
        scene = drawn(number, side)
        assert name == f"anyroom1p{number:04d}_f0000"
        expected, geometry = prepare((scene.pixels >> (scene.bits - 8)).astype(np.uint8), own)
        image, bitmask, _, _ = store.load_case(name)
        assert np.array_equal(image[:, 0], expected)
        assert bitmask.shape[2:] == geometry.working
        scope = bitmask[0, 0] & structures.value("endoscope") > 0
        assert abs(int(scope.sum()) - int(scene.masks["endoscope"].sum())) <= 0.05 * scope.size
        assert bool(scope.any()) == bool(scene.masks["endoscope"].any())
    assert made(workspace, plan).source_folder == store.source_folder


def test_only_what_is_learnt_has_bits_and_they_are_the_datasets(workspace: Workspace) -> None:
    """A dataset whose bits are those of other structures too: a stone is bit 3 there, whatever else is learnt."""
    plan = mixing(load_planned(workspace, "tiny").plan)
    every = plan.structure_set.names
    some = with_values(plan, heads__structures=["guidewire", "stone"], heads__parents=[], heads__of=list(every))
    store = made(workspace, some)
    seen = np.bitwise_or.reduce([np.bitwise_or.reduce(store.load_case(n)[1], axis=None) for n in store.identifiers])
    assert seen & ~np.uint8(2 | 8) == 0
    wanted = np.any([drawn(k, plan.values.preparation.working_long_side_px).masks["stone"].any() for k in range(COUNT)])
    assert bool(seen & 8) == bool(wanted)


def test_an_interrupted_making_goes_on(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = mixing(load_planned(workspace, "tiny").plan)
    folder = Path(made(workspace, plan).source_folder)
    whole = read_index(folder).frames
    first = dict(sorted(whole.items())[:1])
    documents.save(index_path(folder), read_index(folder).model_copy(update={"frames": first, "complete": False}))
    (folder / f"{max(whole)}.b2nd").unlink()
    opened: list[int] = []

    def counting(domain: Any, seed: int, number: int, height_px: int | None = None) -> Any:
        opened.append(number)
        return open_studio(domain, seed, number, height_px)

    monkeypatch.setattr(synthetic, "open_studio", counting)
    again = synthetic.mixed(workspace, plan, progress=SILENT)
    assert again is not None
    assert sorted(opened) == [1, 2]
    assert read_index(folder).frames == whole
    assert again.record.seconds > 0
    done = synthetic.mixed(workspace, plan, progress=SILENT)
    assert done is not None
    assert (done.record.seconds, done.record.sha256) == (0.0, again.record.sha256)


def test_the_share_of_every_run_of_batches_is_exact() -> None:
    for batch, frac in [(1, 0.25), (2, 0.25), (3, 0.1), (4, 0.33), (5, 0.9)]:
        counts = [synthetic_samples(i, batch, frac) for i in range(1000)]
        assert sum(counts) == int(round(1000 * batch * frac, 6))
        assert max(counts) - min(counts) <= 1
        assert max(counts) <= batch


def batches(workspace: Workspace, plan: Plan, position: int, count: int) -> tuple[list[dict[str, Any]], list[Any]]:
    from ercpseg.nnunet.convert import data_identifier

    folder = workspace.preprocessed_folder("tiny") / data_identifier(plan)
    train_names, val_names = read_fold(folder, 0)
    found = synthetic.mixed(workspace, plan, progress=SILENT)
    ahead, checking = build_loaders(
        ErcpDataset(str(folder), train_names),
        ErcpDataset(str(folder), val_names),
        plan=plan,
        label_manager=_Labels(),
        seed=4,
        position=position,
        synthetic=None if found is None else found.folder,
    )
    try:
        return [next(ahead) for _ in range(count)], checking
    finally:
        ahead.close()


class _Labels:
    """What nnU-Net's loader asks of its label manager."""

    def __init__(self) -> None:
        self.all_labels, self.foreground_labels, self.foreground_regions = [0, 1], [1], [1]
        self.has_ignore_label = False


def test_training_draws_them_and_validation_never(workspace: Workspace) -> None:
    """Batches of two, a quarter: one sample of every second batch, and the same whether the run was resumed or not."""
    plan = mixing(load_planned(workspace, "tiny").plan)
    synthetic_names = set(made(workspace, plan).identifiers)
    run, checking = batches(workspace, plan, 0, 8)
    kinds = [[key in synthetic_names for key in batch["keys"]] for batch in run]
    assert [sum(kind) for kind in kinds] == [0, 1] * 4
    assert not synthetic_names & {key for batch in checking for key in batch["keys"]}
    resumed, _ = batches(workspace, plan, 5, 3)
    for a, b in zip(run[5:], resumed, strict=True):
        assert a["keys"] == b["keys"]
        assert torch.equal(a["data"], b["data"])
        assert torch.equal(a["target"], b["target"])
    folds = documents.load_json(workspace.preprocessed_folder("tiny") / "splits_final.json")
    assert not any(synthetic_names & {*fold["train"], *fold["val"]} for fold in folds)


def test_without_mixing_the_same_frames_are_drawn_as_ever(workspace: Workspace) -> None:
    plan = load_planned(workspace, "tiny").plan
    plain, _ = batches(workspace, plan, 0, 2)
    rng = np.random.default_rng([4, 0])
    rng.integers(2**32), rng.integers(2**62)
    from ercpseg.nnunet.convert import data_identifier

    names = sorted(read_fold(workspace.preprocessed_folder("tiny") / data_identifier(plan), 0)[0])
    assert plain[0]["keys"][0] == names[int(rng.integers(len(names)))]


def test_a_plan_that_mixes_is_not_trained_without(workspace: Workspace) -> None:
    plan = mixing(load_planned(workspace, "tiny").plan)
    with pytest.raises(UsageError, match="run ercpseg train"):
        build_loaders(None, None, plan=plan, label_manager=None, seed=1, position=0)  # type: ignore[arg-type]


# -- time ----------------------------------------------------------------------------------------------------------


def test_time_before_the_training_counts_and_survives_a_checkpoint() -> None:
    """100 s in all, 30 s gone before, epochs of 10 s: after one of them six fit."""
    state = RunState()
    state.start_clock(30.0)
    state.history = [{"seconds": 10.0, "spent_s": 10.0}]
    state.spent_s = 10.0
    assert state.epochs_left(100.0) == 6
    resumed = RunState.from_json(state.to_json())
    resumed.spent_s = 10.0
    resumed.start_clock()
    assert resumed.epochs_left(100.0) == 6
    old = {k: v for k, v in state.to_json().items() if k != "before_s"}
    assert RunState.from_json(old).before_s == 0.0


def test_making_and_preparing_frames_to_train_on_first_counts(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of 100 s for the pre-training: making takes 12 s and planning 5 s of it, whatever is left is trained."""
    plan = with_values(
        load_planned(workspace, "tiny").plan,
        transfer__pretrain_share=0.5,
        transfer__synthetic_frames=6,
        schedule__time_budget_s=100.0,
    )
    now = [1000.0]
    shipped = load_model(shipped_models()["light"])
    seen: dict[str, Any] = {}

    class Made:
        folder = Path("nowhere")

    def passing(seconds: float, result: Any = None) -> Any:
        def call(*_: Any, **__: Any) -> Any:
            now[0] += seconds
            return result

        return call

    def train_on(*_: Any, options: TrainOptions, **__: Any) -> None:
        seen["inner"] = (options.time_budget_s, options.before_s)
        now[0] += 20

    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr("ercpseg.synthesis.dataset.synthesise_domain", passing(12, Made))
    monkeypatch.setattr(pretrain, "plan", passing(5))
    monkeypatch.setattr(learn, "train", train_on)
    monkeypatch.setattr(pretrain, "load_model", lambda *_: shipped)
    options = made_ready(workspace, plan, TrainOptions(), SILENT)
    assert seen["inner"] == (50.0, 17.0)
    assert (options.before_s, options.time_budget_s) == (50.0, None)
    shutil.rmtree(workspace.root / "pretraining")  # else the frames are there
    other = made_ready(workspace, plan, TrainOptions(time_budget_s=40.0), SILENT)
    assert seen["inner"] == (20.0, 17.0)
    assert other.before_s == 37.0  # longer than its share: that is gone too


def test_frames_to_train_on_first_are_of_the_domain_that_the_plan_names(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And each domain's model lies in a workspace of its own."""
    tiny, seen = load_planned(workspace, "tiny").plan, []

    def synthesised(out: Path, *, frames: int, patients: int, options: Options, **_: Any) -> Any:
        seen.append((out, frames, patients, options.domain.name, options.size, options.seed))
        raise Interrupted("far enough")

    monkeypatch.setattr("ercpseg.synthesis.dataset.synthesise_domain", synthesised)
    for domain in ("phantom-simple", "any-room"):
        made = with_values(
            tiny, transfer__pretrain_share=0.5, transfer__synthetic_frames=6, transfer__pretrain_domain=domain
        )
        with pytest.raises(Interrupted):
            pretrain.pretrained(workspace, made, None, progress=SILENT)
    side, seed = tiny.values.preparation.working_long_side_px, tiny.values.schedule.seed
    assert [call[1:] for call in seen] == [(6, 2, name, side, seed) for name in ("phantom-simple", "any-room")]
    assert seen[0][0] != seen[1][0]


@pytest.mark.parametrize("domain", ["phantom-simple", "any-room"])
def test_a_pre_training_that_is_interrupted_goes_on(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, domain: str
) -> None:
    """Its frames are made once, whatever the domain."""
    made = with_values(
        load_planned(workspace, "tiny").plan,
        transfer__pretrain_share=0.5,
        transfer__synthetic_frames=3,
        transfer__pretrain_domain=domain,
        preparation__working_long_side_px=64,
    )
    planned: list[Path] = []

    def stopped(*_: Any, **__: Any) -> None:
        raise Interrupted("training stopped")

    monkeypatch.setattr(pretrain, "plan", lambda folder, **_: planned.append(folder))
    monkeypatch.setattr(learn, "train", stopped)
    frames = []
    for _ in range(2):
        with pytest.raises(Interrupted, match="training stopped"):
            pretrain.pretrained(workspace, made, None, progress=SILENT)
        frames.append({path: path.stat().st_mtime_ns for path in (planned[-1] / "images").iterdir()})
    assert frames[0] == frames[1]
    assert len(frames[0]) == 3


def test_a_trained_fold_says_what_was_mixed_in(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record has number, domain, share, hash and seconds; a second training finds them there."""
    space, planned = workspace, load_planned(workspace, "tiny")
    plan = mixing(planned.plan)
    documents.save(planned.folder / "plan.json", plan)
    from ercpseg.nnunet.planning import write_nnunet_plans

    folds = documents.load_json(space.preprocessed_folder("tiny") / "splits_final.json")
    write_nnunet_plans(space, planned.dataset, plan, planned.fingerprint, folds)
    said: list[str] = []
    told = type(SILENT)()
    told.say = said.append  # type: ignore[method-assign]
    first = train("tiny", 0, workspace=space, options=TrainOptions(epochs=1), progress=told).record.synthetic
    assert first is not None
    assert (first.frames, first.domain, first.frac, first.seed) == (COUNT, "any-room", 0.25, 1)
    assert first.seconds > 0
    assert any("synthetic frames (any-room) are 25 % of every batch" in line for line in said)
    second = train("tiny", 0, workspace=space, options=TrainOptions(epochs=1, restart=True)).record.synthetic
    assert second is not None
    assert (second.seconds, second.sha256) == (0.0, first.sha256)
    card = load_model(space.model_folder("tiny")).card
    assert f"{COUNT} synthetic frames (any-room)" in card.training_data
