"""The seam at work: the store, the loader, resuming, nnU-Net's own commands and predictor on our data."""

from __future__ import annotations

import contextlib
import io
import itertools
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from ercpseg.errors import Interrupted, StorageError, UsageError
from ercpseg.nnunet.convert import data_identifier
from ercpseg.nnunet.validation import frames_to_check
from ercpseg.pipeline.known import load_planned
from ercpseg.pipeline.learn import train
from ercpseg.storage import images
from ercpseg.storage.arrays import load_arrays
from ercpseg.training.run import TrainOptions, read_history, run_folder
from tests.conftest import TINY


def store_folder(workspace) -> Path:
    return workspace.preprocessed_folder("tiny") / data_identifier(load_planned(workspace, "tiny").plan)


def test_stored_frames_are_what_live_prediction_prepares(workspace) -> None:
    from ercpseg.frames.prepare import prepare
    from ercpseg.nnunet.store import ErcpDataset

    plan = load_planned(workspace, "tiny").plan
    dataset = ErcpDataset(str(store_folder(workspace)))
    assert len(dataset.identifiers) == 18
    for name in dataset.identifiers[:4]:
        pixels = images.read_png(workspace.raw_folder("tiny") / "imagesTr" / f"{name}_0000.png")
        live, geometry = prepare(pixels, plan.values.preparation)
        stored, _, _, properties = dataset.load_case(name)
        assert np.array_equal(stored[:, 0], live)
        assert tuple(properties["native"]) == geometry.native


def loader(workspace, seed: int = 5):
    from ercpseg.augmentation.build import training_transforms
    from ercpseg.nnunet.labels import ErcpPlans
    from ercpseg.nnunet.loader import ErcpLoader
    from ercpseg.nnunet.store import ErcpDataset
    from ercpseg.storage.documents import load_json

    folder = workspace.preprocessed_folder("tiny")
    plan = load_planned(workspace, "tiny").plan
    plans = ErcpPlans(load_json(folder / "ErcpPlans.json"))
    values = plan.values
    return ErcpLoader(
        ErcpDataset(str(store_folder(workspace))),
        plan=plan,
        label_manager=plans.get_label_manager(load_json(folder / "dataset.json")),
        transforms=training_transforms(values.augmentation, plan.heads, values.patch.size_px),
        seed=seed,
    )


def test_a_batch_depends_on_seed_and_position_only(workspace) -> None:
    one, two = loader(workspace), loader(workspace)
    for _ in range(3):
        one.generate_train_batch()
    two.position = 3
    a, b = one.generate_train_batch(), two.generate_train_batch()
    assert a["keys"] == b["keys"]
    assert torch.equal(a["data"], b["data"])
    assert torch.equal(a["target"], b["target"])
    other = loader(workspace, seed=6)
    other.position = 3
    assert not torch.equal(other.generate_train_batch()["data"], a["data"])


def test_batches_have_the_planned_shape_and_parents_are_unions(workspace) -> None:
    plan = load_planned(workspace, "tiny").plan
    batch = loader(workspace).generate_train_batch()
    n, size = plan.values.patch.batch_size, plan.values.patch.size_px
    assert batch["data"].shape == (n, 1, *size)
    assert batch["target"].shape == (n, len(plan.heads), *size)
    assert batch["target"].dtype == torch.uint8
    heads = list(plan.heads)
    union = batch["target"][:, heads.index("endoscope")] | batch["target"][:, heads.index("guidewire")]
    assert torch.equal(union, batch["target"][:, heads.index("instrument")])


def test_the_oversampled_slots_show_the_rare_structure(workspace) -> None:
    source = loader(workspace)
    share = source.values.sampling.model_copy(update={"oversample_frac": 0.5, "structure_share": {"stone": 1.0}})
    source.values = source.values.model_copy(update={"sampling": share})
    assert 0 < len(source.own.showing["stone"]) < 18
    with_stone = {source.own.names[i] for i in source.own.showing["stone"]}
    batches = [source.generate_train_batch()["keys"] for _ in range(6)]
    assert all(keys[-1] in with_stone for keys in batches)
    assert any(keys[0] not in with_stone for keys in batches)


def test_windows_reach_every_part_of_the_frame(workspace) -> None:
    """Windows are cut a quarter larger than the patch; what is beyond the patch may lie outside the frame.

    Frames are 1000 long, windows 400, patches 320: corners from -40 to 640, so patches begin between 0 and 680.
    """
    source = loader(workspace)
    patch = source.values.patch.model_copy(update={"size_px": (320, 320), "tile_px": (1024, 1024)})
    source.values, source.patch = source.values.model_copy(update={"patch": patch}), (320, 320)
    rng, empty = np.random.default_rng(0), np.zeros((1000, 1000), np.int16)
    corners = np.array([source._corner(empty, (400, 400), None, rng) for _ in range(4000)])
    assert corners.min() == -40
    assert corners.max() == 640
    # a structure in the very corner is inside every patch that is drawn for it
    empty[0, 999] = source.bits["stone"]
    for _ in range(200):
        y, x = source._corner(empty, (400, 400), "stone", rng)
        assert y + 40 <= 0 <= y + 359
        assert x + 40 <= 999 <= x + 359


def test_batches_drawn_ahead_are_the_same_and_errors_come_through(workspace) -> None:
    from ercpseg.nnunet.loader import Ahead

    plain = loader(workspace)
    expected = [plain.generate_train_batch()["data"] for _ in range(3)]
    ahead = Ahead(loader(workspace))
    try:
        assert all(torch.equal(e, b["data"]) for e, b in zip(expected, itertools.islice(ahead, 3), strict=True))
    finally:
        ahead.close()
    assert not ahead._thread.is_alive()
    broken = loader(workspace)
    broken.own.names = ["not there"]
    broken.own.showing = {}
    failing = Ahead(broken)
    with pytest.raises(StorageError):
        next(failing)
    failing.close()


def final_weights(workspace) -> dict[str, np.ndarray]:
    plan = load_planned(workspace, "tiny").plan
    return load_arrays(run_folder(workspace, plan.dataset, "0") / "weights.safetensors")[0]


def stop_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    from ercpseg.nnunet.trainer import ErcpTrainer

    original, counter = ErcpTrainer.train_step, itertools.count(1)

    def step(self, batch):
        if next(counter) == steps:
            self.stop.set()
        return original(self, batch)

    monkeypatch.setattr(ErcpTrainer, "train_step", step)


@pytest.mark.parametrize("steps", [2, 3, 4])
def test_an_interrupted_run_ends_in_the_same_weights(workspace, trained, monkeypatch, steps: int) -> None:
    """Step 3 is the last of the first epoch, so the stop falls inside, at the end and after an epoch."""
    with monkeypatch.context() as patch:
        stop_after(patch, steps)
        with pytest.raises(Interrupted) as caught:
            train("tiny", 0, workspace=workspace)
        assert caught.value.exit_code == 75
    result = train("tiny", 0, workspace=workspace)
    assert result.fresh
    expected, got = final_weights(trained), final_weights(workspace)
    assert set(expected) == set(got)
    assert all(np.array_equal(expected[name], got[name]) for name in expected)
    assert [row["epoch"] for row in read_history(result.folder)] == [0, 1]
    # and a third call finds nothing to do
    assert not train("tiny", 0, workspace=workspace).fresh


def test_what_a_loss_counts_goes_on_too(workspace, tmp_path, monkeypatch) -> None:
    """GHM-C weighs by running counts: begun again from nothing, the batch after the stop would be weighed otherwise."""
    import shutil

    from ercpseg.pipeline.prepare import PlanOptions, plan
    from ercpseg.storage.workspace import Workspace

    heads = load_planned(workspace, "tiny").plan.heads
    off = tuple((f"loss.{name}_weight.{head}", 0.0) for name in ("dice", "focal", "skeleton") for head in heads)
    pins = (*TINY, *off, ("loss.terms", [{"name": "ghm-c"}]), ("schedule.time_budget_s", None), ("schedule.epochs", 2))
    plan("tiny", workspace=workspace, options=PlanOptions(time_budget_s=2, device="cpu", overrides=pins))
    shutil.copytree(workspace.root, tmp_path / "whole")
    whole = Workspace(tmp_path / "whole")
    train("tiny", 0, workspace=whole)
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(Interrupted):
            train("tiny", 0, workspace=workspace)
    train("tiny", 0, workspace=workspace)
    expected, got = final_weights(whole), final_weights(workspace)
    assert all(np.array_equal(expected[name], got[name]) for name in expected)


def test_a_damaged_newest_checkpoint_costs_only_time(workspace, trained, monkeypatch) -> None:
    from ercpseg.nnunet import checkpoints

    folder = run_folder(workspace, "tiny", "0")
    for steps in (2, 2):
        with monkeypatch.context() as patch:
            stop_after(patch, steps)
            with pytest.raises(Interrupted):
                train("tiny", 0, workspace=workspace)
    slots = [folder / name for name in checkpoints.SLOTS]
    newest = max(slots, key=lambda path: load_arrays(path)[1]["saves"])
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(bytes(data))
    train("tiny", 0, workspace=workspace)
    expected, got = final_weights(trained), final_weights(workspace)
    assert all(np.array_equal(expected[name], got[name]) for name in expected)


def test_a_changed_plan_is_not_taken_up_silently(workspace, monkeypatch) -> None:
    from ercpseg.pipeline.prepare import PlanOptions, plan

    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(Interrupted):
            train("tiny", 0, workspace=workspace)
    overrides = (("schedule.epochs", 1), ("schedule.iterations_per_epoch", 2), ("schedule.time_budget_s", None))
    plan("tiny", workspace=workspace, options=PlanOptions(device="cpu", time_budget_s=2, overrides=overrides))
    with pytest.raises(UsageError, match="--restart"):
        train("tiny", 0, workspace=workspace)
    assert train("tiny", 0, workspace=workspace, options=TrainOptions(restart=True)).record.iterations == 2


def test_planning_again_with_other_options_keeps_the_order_of_structures(workspace) -> None:
    """The second plan reads the fingerprint from its file, whose keys are sorted; bits must not follow them."""
    from ercpseg.pipeline.prepare import PlanOptions, plan

    planned = plan("tiny", workspace=workspace, options=PlanOptions(device="cpu", time_budget_s=3))
    assert planned.fresh
    assert planned.dataset.structures == ("endoscope", "guidewire", "cbd", "stone")
    assert planned.plan.values.heads.structures == planned.dataset.structures
    other = (("heads.structures", ["cbd", "endoscope", "guidewire", "stone"]),)
    with pytest.raises(UsageError, match="each once and in this order"):
        plan("tiny", workspace=workspace, options=PlanOptions(device="cpu", time_budget_s=3, overrides=other))


def test_validation_mirrors_as_prediction_does(workspace) -> None:
    """What ``compare`` scores is what ``predict`` would write, for a plan that mirrors."""
    from ercpseg.inference.predictor import Predictor
    from ercpseg.pipeline.prepare import PlanOptions, plan
    from tests.conftest import TINY

    # After three steps probabilities lie around 0.05, where training begins: so must the threshold, for masks to be there.
    overrides = (*TINY, ("schedule.epochs", 1), ("schedule.time_budget_s", None), ("augmentation.mirror_axes", [0, 1]),
                 ("postprocess.threshold", 0.05), ("postprocess.steps", []))  # fmt: skip
    plan("tiny", workspace=workspace, options=PlanOptions(device="cpu", time_budget_s=2, overrides=overrides))
    result = train("tiny", 0, workspace=workspace)
    predictor = Predictor.load(result.model, device="cpu")
    labels = sorted((result.folder / "validation" / "labels").iterdir())
    plain = Predictor.load(result.model, device="cpu", tta=False)
    different = 0
    for path in labels:
        pixels = images.read_png(workspace.raw_folder("tiny") / "imagesTr" / f"{path.stem}_0000.png")
        assert np.array_equal(images.read_png(path), predictor.predict(pixels).bitmask)
        different += not np.array_equal(images.read_png(path), plain.predict(pixels).bitmask)
    assert labels
    assert different  # else mirroring would show in nothing


def test_fold_all_and_wrong_folds(workspace) -> None:
    with pytest.raises(UsageError, match="0 to"):
        train("tiny", 77, workspace=workspace)
    result = train("tiny", "all", workspace=workspace, options=TrainOptions(epochs=1))
    assert result.record.fold == "all"
    assert result.record.epochs == 1


def test_fold_all_is_checked_on_a_sample_and_others_on_every_frame() -> None:
    frames = [f"f{i:03d}" for i in range(100)]
    checked = frames_to_check(frames, "all")
    assert len(checked) == len(set(checked)) == 24
    assert checked[0] == "f000"
    assert checked[-1] == "f095"
    assert frames_to_check(frames[:5], "all") == frames[:5]
    assert frames_to_check([], "all") == []
    assert frames_to_check(frames, 0) == frames


def test_stock_training_finds_the_trainer_through_the_shim(workspace, monkeypatch) -> None:
    """``nnUNetv2_train tiny 2d 0 -tr ErcpTrainer -p ErcpPlans -device cpu`` without its command-line wrapper."""
    from nnunetv2.run.run_training import run_training

    import ercpseg.nnunet.shim as shim

    monkeypatch.setenv("nnUNet_extTrainer", str(Path(shim.__file__).parent))
    number = workspace.index.datasets["tiny"]
    with workspace.nnunet_environment(), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run_training(str(number), "2d", "0", "ErcpTrainer", "ErcpPlans", device=torch.device("cpu"))
    folder = run_folder(workspace, "tiny", "0")
    assert (folder / "weights.safetensors").exists()
    assert (folder / "validation" / "summary.json").exists()
    assert not list(folder.rglob("*.pth"))
    assert not list(workspace.root.rglob("*.pkl"))


@pytest.mark.parametrize("shape", [(64, 64), (96, 80), (200, 150)])
def test_logits_equal_those_of_nnunets_own_predictor(trained, shape: tuple[int, int], monkeypatch) -> None:
    """The oracle is nnU-Net's sliding window on the same network, made to add up in single precision."""
    import nnunetv2.inference.predict_from_raw_data as stock

    from ercpseg.frames.tiles import gaussian_stock, predict_tiled, predict_tiled_batch
    from ercpseg.inference.predictor import Predictor
    from ercpseg.nnunet.labels import ErcpPlans
    from ercpseg.storage.documents import load_json

    ours = Predictor.load(trained.model_folder("tiny"))
    network = ours.networks[0]
    folder = trained.preprocessed_folder("tiny")
    plans, description = ErcpPlans(load_json(folder / "ErcpPlans.json")), load_json(folder / "dataset.json")
    patch = (64, 64)
    image = torch.from_numpy(np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32))
    with contextlib.redirect_stdout(io.StringIO()):
        oracle = stock.nnUNetPredictor(use_mirroring=False, device=torch.device("cpu"), allow_tqdm=False)
    configuration = plans.get_configuration("2d")
    configuration.configuration["patch_size"] = list(patch)
    oracle.manual_initialization(network, plans, configuration, None, description, "ErcpTrainer", None)
    manager = oracle.label_manager
    manager.__class__ = type("Heads", (manager.__class__,), {"num_segmentation_heads": len(ours.plan.heads)})
    monkeypatch.setattr(torch, "half", torch.float32)
    monkeypatch.setattr(stock, "compute_gaussian", partial(stock.compute_gaussian, dtype=torch.float32))
    with torch.inference_mode():
        expected = oracle.predict_sliding_window_return_logits(image[:, None])[:, 0].float()
        got = predict_tiled(image, patch, network)
        (same,) = predict_tiled_batch(image[None], patch, network, gaussian_stock)
    assert got.shape == same.shape == expected.shape
    # With nnU-Net's blending weights nothing differs but the order of a sum.
    assert float((same - expected).abs().max()) < 1e-5
    # Ours are centred on even sizes and never below a ten-thousandth: corners of tiles count otherwise.
    difference = (got - expected).abs()
    assert float(difference.quantile(0.5)) < 2e-3
    assert float(difference.quantile(0.95)) < 2e-2
    assert float(difference.max()) < 0.05 * float(expected.abs().max())


def test_preprocessing_goes_on_where_it_was_killed(workspace) -> None:
    from ercpseg.nnunet.preprocessor import preprocess
    from ercpseg.nnunet.store import StoreIndex, index_path, read_index
    from ercpseg.storage import documents

    planned = load_planned(workspace, "tiny")
    folder = store_folder(workspace)
    index = read_index(folder)
    frames = list(index.frames)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    # half the index known, one file torn, one gone, one of a frame that does not exist any more
    half = {name: index.frames[name] for name in frames[:9]}
    documents.save(index_path(folder), StoreIndex.new(complete=False, frames=half))
    (folder / f"{frames[0]}.b2nd").write_bytes(b"torn")
    (folder / f"{frames[1]}_seg.b2nd").unlink()
    (folder / "gone.b2nd").write_bytes(b"")
    with pytest.raises(Exception, match="not all prepared"):
        read_index(folder)
    preprocess(workspace, planned.dataset, planned.plan, frames)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert read_index(folder) == index
