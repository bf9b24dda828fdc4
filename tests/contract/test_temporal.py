"""Several frames at a time, through the whole program: training, validation and a stream see the same."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ercpseg.errors import UsageError
from ercpseg.frames.frame import Frame
from ercpseg.frames.windows import filled
from ercpseg.importers.frames import FrameFolder
from ercpseg.inference.predictor import Predictor
from ercpseg.nnunet.convert import data_identifier
from ercpseg.nnunet.store import ErcpDataset, read_index, window_names
from ercpseg.pipeline.apply import PredictOptions, predict
from ercpseg.pipeline.known import Planned, load_planned, load_records
from ercpseg.pipeline.learn import train
from ercpseg.pipeline.prepare import PlanOptions, plan
from ercpseg.storage.images import read_png
from ercpseg.storage.models import load_model
from ercpseg.storage.workspace import Workspace
from ercpseg.training.run import TrainOptions, run_folder

FRAMES = 4
OVERRIDES = (
    ("input.frames", FRAMES),
    ("network.features", [4, 4, 6]),
    ("preparation.working_long_side_px", 64),
    ("preparation.field_mask", False),
    ("patch.batch_size", 2),
    ("schedule.epochs", 1),
    ("schedule.iterations_per_epoch", 2),
    ("schedule.validation_iterations", 1),
    ("schedule.time_budget_s", None),
)


@pytest.fixture(scope="module")
def cine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three patients with a cine of six frames each, as DICOM. Read only."""
    from ercpseg.synthesis.catalogue import find_domain
    from ercpseg.synthesis.dataset import Options, synthesise_domain

    folder = tmp_path_factory.mktemp("cine") / "cine"
    options = Options(find_domain("round-field"), 64, 3, "dicom", series=True)
    synthesise_domain(folder, frames=18, patients=3, options=options)
    return folder


def planned_at(root: Path, folder: Path, *more: tuple[str, Any]) -> Planned:
    options = PlanOptions(time_budget_s=2, device="cpu", overrides=tuple({**dict(OVERRIDES), **dict(more)}.items()))
    return plan(folder, workspace=Workspace(root), options=options)


@pytest.fixture(scope="module")
def space(cine: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The cines planned with four frames, and fold 0 trained for two steps. Read only."""
    root = tmp_path_factory.mktemp("temporal") / "w"
    planned_at(root, cine)
    train("cine", 0, workspace=Workspace(root))
    return Workspace(root)


def store_of(space: Workspace) -> Path:
    return space.preprocessed_folder("cine") / data_identifier(load_planned(space, "cine").plan)


def test_the_store_holds_every_frame_once_and_who_comes_before(space: Workspace) -> None:
    index = read_index(store_of(space)).frames
    assert len(index) == 18
    assert len(list(store_of(space).glob("*.b2nd"))) == 2 * 18
    by_file: dict[str, dict[int, str]] = {}
    for record in load_records(space, "cine"):
        if record.index is None:
            continue
        by_file.setdefault(record.source, {})[record.index] = record.frame
    assert len(by_file) == 3
    for frames in by_file.values():
        assert [index[frames[i]].previous for i in range(6)] == [None, *(frames[i] for i in range(5))]
        assert window_names(index, frames[5], FRAMES) == [frames[i] for i in (5, 4, 3, 2)]
        assert window_names(index, frames[1], FRAMES) == [frames[1], frames[0]]


class AsTheyAre:
    """In the place of the transforms: the sample as the loader cut it."""

    def __call__(self, **sample: Any) -> dict[str, Any]:
        return sample


def loader(space: Workspace, transforms: Any, **options: Any) -> Any:
    from ercpseg.nnunet.labels import ErcpPlans
    from ercpseg.nnunet.loader import ErcpLoader
    from ercpseg.storage.documents import load_json

    folder = space.preprocessed_folder("cine")
    manager = ErcpPlans(load_json(folder / "ErcpPlans.json")).get_label_manager(load_json(folder / "dataset.json"))
    common: dict[str, Any] = {"plan": load_planned(space, "cine").plan, "label_manager": manager, "seed": 1}
    return ErcpLoader(ErcpDataset(str(store_of(space))), transforms=transforms, **common, **options)


def test_a_repeated_frame_is_the_same_picture_in_training_too(space: Workspace) -> None:
    """Noise is drawn for each frame, but a frame that stands for those before it is one frame."""
    from ercpseg.augmentation.build import training_transforms

    made, index = load_planned(space, "cine").plan, read_index(store_of(space)).frames
    noisy = made.values.augmentation.model_copy(update={"apply_prob": 1.0, "noise_sd": 0.5})
    source = loader(space, training_transforms(noisy, made.heads, made.values.patch.size_px))
    seen = set()
    for _ in range(20):
        batch = source.generate_train_batch()
        for name, image in zip(batch["keys"], batch["data"], strict=True):
            frames = len(window_names(index, name, FRAMES))
            seen.add(frames)
            equal = [torch.equal(image[i - 1], image[i]) for i in range(1, FRAMES)]
            assert equal == [i >= frames for i in range(1, FRAMES)]
    assert seen == {1, 2, 3, 4}


def test_training_validation_and_the_stream_see_the_same(space: Workspace, cine: Path, monkeypatch: Any) -> None:
    from ercpseg.nnunet.validation import validate
    from ercpseg.progress import SILENT

    made, dataset = load_planned(space, "cine").plan, ErcpDataset(str(store_of(space)))
    source = loader(space, AsTheyAre(), random=False)
    trained: dict[str, torch.Tensor] = {}
    for _ in range(60):
        batch = source.generate_train_batch()
        trained.update(zip(batch["keys"], batch["data"], strict=True))

    validated: list[torch.Tensor] = []

    def network(batch: torch.Tensor) -> torch.Tensor:
        validated.append(batch[0].clone())
        return torch.zeros((1, len(made.heads), *batch.shape[2:]))

    names = sorted(dataset.index)
    references = space.raw_folder("cine") / "labelsTr"
    common: dict[str, Any] = {"device": torch.device("cpu"), "progress": SILENT, "output": space.root / "v"}
    validate(network, plan=made, dataset=dataset, frames=names, references=references, **common)

    predictor, streamed = Predictor.load(space.model_folder("cine"), device="cpu"), []
    real = predictor.forward
    monkeypatch.setattr(predictor, "forward", lambda images: streamed.append(images[0]) or real(images))
    stream, order = predictor.stream(), {(r.source, r.index): r.frame for r in load_records(space, "cine")}
    found = {}
    for frame in FrameFolder(cine / "images"):
        assert isinstance(frame, Frame)
        stream.push(frame)
        found[order[f"images/{frame.source}", frame.index]] = torch.from_numpy(streamed[-1])
    assert set(trained) == set(found) == set(names)
    for name, image in zip(names, validated, strict=True):
        assert image.shape == (FRAMES, 64, 64)
        assert torch.equal(trained[name], image), "training and validation"
        assert torch.equal(found[name], image), "validation and stream"
    assert any(not torch.equal(image[0], image[1]) for image in validated)


def test_a_window_is_moved_as_one_and_repeated_frames_stay_equal(space: Workspace) -> None:
    """Geometry: a picture of its own rows and columns in every channel comes out the same in all of them."""
    from ercpseg.augmentation.build import training_transforms

    made = load_planned(space, "cine").plan
    values = made.values.augmentation.model_copy(
        update={"apply_prob": 0.0, "elastic_prob": 1.0, "elastic_sigma_px": 8.0, "elastic_shift_px": 3.0}
    )
    transforms = training_transforms(values, made.heads, (64, 64))
    picture = torch.rand((1, 80, 80), generator=torch.Generator().manual_seed(0))
    for seed in range(5):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        image = transforms(image=picture.repeat(3, 1, 1), segmentation=torch.zeros((1, 80, 80), dtype=torch.int16))[
            "image"
        ]
        assert torch.equal(image[0], image[1])
        assert torch.equal(image[0], image[2])
    # Strengths are one for all channels, noise is not.
    values = values.model_copy(update={"apply_prob": 1.0, "elastic_prob": 0.0, "noise_sd": 0.0, "blur_sd_px": 1.0})
    noisy = values.model_copy(update={"noise_sd": 0.5})
    equal, differ = [
        training_transforms(v, made.heads, (64, 64))(
            image=picture.repeat(2, 1, 1), segmentation=torch.zeros((1, 80, 80), dtype=torch.int16)
        )["image"]
        for v in (values, noisy)
    ]
    assert torch.allclose(equal[0], equal[1])
    assert not torch.allclose(differ[0], differ[1], atol=0.05)


def test_it_trains_predicts_and_is_read_back(space: Workspace, cine: Path, tmp_path: Path) -> None:
    predictor = Predictor.load(space.model_folder("cine"), device="cpu")
    assert predictor.serving.frames == predictor.plan.values.input.frames == FRAMES
    weights = predictor.networks[0].state_dict()
    assert next(iter(weights.values())).shape[1] == 4 * FRAMES  # the network folds 2 × 2 pixels into channels
    summary = predict(
        cine / "images", tmp_path / "out", space.model_folder("cine"), options=PredictOptions(device="cpu")
    )
    assert summary.used == 18
    stream = predictor.stream()
    for frame in FrameFolder(cine / "images"):
        assert isinstance(frame, Frame)
        (result,) = stream.push(frame)
        assert np.array_equal(read_png(tmp_path / "out" / "labels" / f"{frame.name}.png"), result.bitmask)


def test_a_run_that_was_stopped_ends_like_an_undisturbed_one(space: Workspace, cine: Path, tmp_path: Path) -> None:
    options = PredictOptions(device="cpu", runtime="torch")
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    predict(cine / "images", whole, space.model_folder("cine"), options=options)
    shutil.copytree(whole, resumed)
    labels = sorted(path for path in (whole / "labels").iterdir())
    for path in labels[1::3]:
        (resumed / "labels" / path.name).unlink()
    predict(cine / "images", resumed, space.model_folder("cine"), options=options)
    for path in labels:
        assert (resumed / "labels" / path.name).read_bytes() == path.read_bytes()


def test_held_out_frames_are_predicted_with_their_windows(space: Workspace, tmp_path: Path) -> None:
    from ercpseg.pipeline.out_of_fold import held_out, predict_held_out, read_levels
    from ercpseg.postprocess.finish import native_levels
    from ercpseg.progress import SILENT

    shutil.copytree(space.root, tmp_path / "w")
    own = Workspace(tmp_path / "w")
    planned = load_planned(own, "cine")
    frames = held_out(own, planned, ("0",)).frames
    predict_held_out(own, planned, "0", frames, device="cpu", progress=SILENT)
    predictor = Predictor.load(own.model_folder("cine"), device="cpu", folds=("0",))
    dataset = ErcpDataset(str(store_of(own)))
    assert len(frames) == 6
    for frame in frames:
        image = filled(dataset.load_window(frame.frame, FRAMES), FRAMES)
        logits = predictor.forward(image[None])[0]
        geometry = predictor.prepare(Frame("f", read_png(frame.reference), 8)).geometry
        assert np.array_equal(
            read_levels(frame, len(predictor.structures)), native_levels(logits, geometry, predictor.serving)
        )


def test_onnx_gives_the_same_and_says_how_many_frames(space: Workspace, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    from ercpseg.documents.serving import Serving
    from ercpseg.pipeline.export import export_to
    from ercpseg.storage import documents

    exported = export_to(space.model_folder("cine"), tmp_path / "onnx", "onnx")
    assert exported.difference is not None
    assert exported.difference < 1e-3
    assert documents.load(tmp_path / "onnx" / "model.json", Serving).frames == FRAMES
    session = onnxruntime.InferenceSession(str(tmp_path / "onnx" / "model.onnx"))
    assert session.get_inputs()[0].shape[1] == FRAMES
    predictor = Predictor.load(space.model_folder("cine"), device="cpu", tta=False)
    images = np.random.default_rng(0).normal(size=(2, FRAMES, *predictor.serving.tile_px)).astype(np.float32)
    (logits,) = session.run(None, {"frames": images})
    with torch.inference_mode():
        assert np.allclose(logits, predictor.networks[0](torch.from_numpy(images)).numpy(), atol=1e-3)


def without(cine: Path, copy: Path, frame: str) -> Path:
    """The dataset without the masks of one frame: it is refused as not annotated."""
    shutil.copytree(cine, copy)
    for path in copy.glob(f"masks/*/{frame}.png"):
        path.unlink()
    return copy


def test_a_gap_is_refused_while_planning(cine: Path, tmp_path: Path) -> None:
    names = sorted(path.stem for path in (cine / "masks" / "endoscope").iterdir())
    torn = without(cine, tmp_path / "torn", names[2])  # the third of six: 4, 5 and 6 lack it
    with pytest.raises(UsageError) as error:
        planned_at(tmp_path / "w", torn)
    assert "a network of 4 frames needs the 3 before each" in error.value.message
    assert "1 series lack frames right before 3 of theirs" in error.value.message
    assert "--set: input.frames" in error.value.message
    assert "use input.frames=1" in error.value.message
    assert not (tmp_path / "w" / "datasets" / "torn" / "plan.json").exists()
    with pytest.raises(UsageError, match="right before 1 of theirs"):
        planned_at(tmp_path / "w", torn, ("input.frames", 2))
    assert planned_at(tmp_path / "w", torn, ("input.frames", 1)).plan.values.input.frames == 1


def test_a_store_that_does_not_know_who_comes_before_is_made_again(
    space: Workspace, cine: Path, tmp_path: Path
) -> None:
    from ercpseg.nnunet.store import StoreIndex, index_path
    from ercpseg.storage import documents

    shutil.copytree(space.root, tmp_path / "w")
    own = Workspace(tmp_path / "w")
    index = read_index(store_of(own)).frames
    old = {name: stored.model_copy(update={"previous": None}) for name, stored in index.items()}
    documents.save(index_path(store_of(own)), StoreIndex.new(complete=True, frames=old))
    planned_at(own.root, cine)
    assert read_index(store_of(own)).frames == index


def test_a_model_of_another_number_of_frames_starts_nothing(space: Workspace, cine: Path, tmp_path: Path) -> None:
    shutil.copytree(space.root, tmp_path / "w")
    own = Workspace(tmp_path / "w")
    source = load_model(own.model_folder("cine"))
    planned_at(own.root, cine, ("input.frames", 2))
    with pytest.raises(UsageError) as error:
        train("cine", 1, workspace=own, init_from=space.model_folder("cine"))
    assert "takes 4 frames at a time, the plan 2 (input.frames)" in error.value.message
    assert "--set input.frames=4" in error.value.message
    planned_at(own.root, cine)
    started = train("cine", 1, workspace=own, init_from=space.model_folder("cine"), options=TrainOptions(epochs=1))
    assert started.record.transfer is not None
    assert started.record.transfer.model_sha256 == source.sha256
    assert (run_folder(own, "cine", "1") / "weights.safetensors").exists()


def test_nnunets_own_predictor_gets_the_frame_repeated(space: Workspace) -> None:
    from ercpseg.nnunet.labels import ErcpPlans
    from ercpseg.nnunet.preprocessor import ErcpPreprocessor
    from ercpseg.storage.documents import load_json

    plans = ErcpPlans(load_json(space.preprocessed_folder("cine") / "ErcpPlans.json"))
    dataset = ErcpDataset(str(store_of(space)))
    name = next(
        name for name, stored in sorted(dataset.index.items()) if len(window_names(dataset.index, name, 4)) == 3
    )
    raw = space.raw_folder("cine") / "imagesTr"
    shown = [read_png(raw / f"{n}_0000.png")[None] for n in window_names(dataset.index, name, 4)]

    def prepared(channels: int) -> np.ndarray:
        data = np.stack(shown[:channels]).astype(np.float32)
        return ErcpPreprocessor(verbose=False).run_case_npy(data, None, {}, plans, None, None)[0]

    alone = prepared(1)[:, 0]
    assert alone.shape == (FRAMES, 64, 64)
    assert all(np.array_equal(channel, dataset.load_window(name, 1)[0]) for channel in alone)
    assert np.array_equal(prepared(3)[:, 0], filled(dataset.load_window(name, FRAMES), FRAMES))
