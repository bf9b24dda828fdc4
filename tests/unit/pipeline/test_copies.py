"""Copies in training (``augmentation.multiply``): of training frames alone, the same in every epoch, resumable."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ercpseg.augmentation.copies import Copies
from ercpseg.documents.plan import Plan
from ercpseg.errors import Interrupted
from ercpseg.nnunet.convert import data_identifier
from ercpseg.nnunet.loader import build_loaders
from ercpseg.nnunet.store import ErcpDataset
from ercpseg.nnunet.trainer import ErcpTrainer
from ercpseg.pipeline.known import load_planned
from ercpseg.pipeline.learn import train
from ercpseg.pipeline.prepare import PlanOptions, plan
from ercpseg.progress import SILENT
from ercpseg.storage.arrays import load_arrays
from ercpseg.storage.workspace import Workspace
from ercpseg.training.run import TrainOptions
from tests.conftest import TINY
from tests.unit.pipeline.test_synthetic import _Labels, with_values

SEED = 4


class Heard(type(SILENT)):  # type: ignore[misc]
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def whole_frames(plan: Plan, copies: int) -> Plan:
    """A patch is a frame, so that what is drawn can be compared with what the copy is."""
    size = [plan.values.preparation.working_long_side_px] * 2
    return with_values(plan, augmentation__multiply=copies, patch__size_px=size, patch__tile_px=size)


def drawn(space: Workspace, plan: Plan, train: list[str], val: list[str], count: int, position: int = 0) -> Any:
    folder = str(space.preprocessed_folder("tiny") / data_identifier(plan))
    sets = ErcpDataset(folder, train), ErcpDataset(folder, val)
    ahead, checking = build_loaders(*sets, plan=plan, label_manager=_Labels(), seed=SEED, position=position)
    try:
        return [next(ahead) for _ in range(count)], checking
    finally:
        ahead.close()


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), copies=st.integers(1, 12))
def test_no_copy_is_of_a_frame_that_is_held_out(workspace: Workspace, data: st.DataObject, copies: int) -> None:
    """Whatever the split: every sample is, to the bit, a copy of a training frame; validation has frames as they are."""
    tiny = whole_frames(load_planned(workspace, "tiny").plan, copies)
    store = ErcpDataset(str(workspace.preprocessed_folder("tiny") / data_identifier(tiny)))
    held_out = data.draw(st.sets(st.sampled_from(sorted(store.identifiers)), min_size=1, max_size=12))
    rest = [name for name in store.identifiers if name not in held_out]
    batches, checking = drawn(workspace, tiny, rest, sorted(held_out), 3)
    make = Copies(tiny.values.augmentation, tiny.heads, seed=SEED)
    for batch in batches:
        for image, frame, number in zip(batch["data"], batch["keys"], batch["copies"], strict=True):
            assert frame in rest
            assert 0 <= number <= copies
            original = store.load_window(frame, 1), store.load_bitmask(frame).astype(np.int16)
            assert np.array_equal(image.numpy(), make(*original, frame, number)[0])
    for batch in checking:
        assert set(batch["keys"]) <= held_out
        assert set(batch["copies"]) == {0}
        for image, frame in zip(batch["data"], batch["keys"], strict=True):
            assert np.array_equal(image.numpy(), store.load_window(frame, 1))


def test_the_set_is_finite_and_all_of_it_is_drawn(workspace: Workspace) -> None:
    """Two frames and two copies of each are six pictures, each a sixth of all samples; without copies none comes twice."""
    tiny = load_planned(workspace, "tiny").plan
    names = sorted(ErcpDataset(str(workspace.preprocessed_folder("tiny") / data_identifier(tiny))).identifiers)[:2]
    plain = with_values(whole_frames(tiny, 2), sampling__oversample_frac=0.0, augmentation__apply_prob=1.0)
    batches, _ = drawn(workspace, plain, names, names, 60)
    seen: dict[tuple[str, int], set[bytes]] = {}
    count: dict[tuple[str, int], int] = {}
    for batch in batches:
        for image, *key in zip(batch["data"], batch["keys"], batch["copies"], strict=True):
            seen.setdefault(tuple(key), set()).add(image.numpy().tobytes())
            count[tuple(key)] = count.get(tuple(key), 0) + 1
    assert set(seen) == {(name, number) for name in names for number in (0, 1, 2)}
    assert all(len(pictures) == 1 for pictures in seen.values())
    assert len(set.union(*seen.values())) == 6
    samples = sum(count.values())
    assert samples == 120
    # Binomial: 20 expected, sd √(120·1/6·5/6) = 4.1.
    assert all(8 <= n <= 32 for n in count.values())
    anew, _ = drawn(workspace, with_values(plain, augmentation__multiply=0), names, names, 10)
    assert len({image.numpy().tobytes() for batch in anew for image in batch["data"]}) == 20


def test_batches_are_the_same_after_an_interruption(workspace: Workspace) -> None:
    tiny = with_values(load_planned(workspace, "tiny").plan, augmentation__multiply=3)
    names = sorted(ErcpDataset(str(workspace.preprocessed_folder("tiny") / data_identifier(tiny))).identifiers)
    whole, _ = drawn(workspace, tiny, names[:12], names[12:], 6)
    later, _ = drawn(workspace, tiny, names[:12], names[12:], 2, position=4)
    for a, b in zip(whole[4:], later, strict=True):
        assert (a["keys"], a["copies"]) == (b["keys"], b["copies"])
        assert torch.equal(a["data"], b["data"])
        assert torch.equal(a["target"], b["target"])


def test_a_training_on_copies_says_so_and_ends_in_the_same_weights(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = (*TINY, ("schedule.time_budget_s", None), ("schedule.epochs", 1), ("augmentation.multiply", 9))
    plan("tiny", workspace=workspace, options=PlanOptions(time_budget_s=2, device="cpu", overrides=overrides))
    planned = load_planned(workspace, "tiny").plan
    assert planned.decision("augmentation.multiply").value == 9
    heard = Heard()
    original = ErcpTrainer.train_step

    def stopping(self: Any, batch: Any) -> Any:
        self.stop.set()
        return original(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(ErcpTrainer, "train_step", stopping)
        with pytest.raises(Interrupted):
            train("tiny", 0, workspace=workspace)
    resumed = train("tiny", 0, workspace=workspace, progress=heard)
    weights = [load_arrays(resumed.folder / "weights.safetensors")[0]]
    whole = train("tiny", 0, workspace=workspace, options=TrainOptions(restart=True))
    weights.append(load_arrays(whole.folder / "weights.safetensors")[0])
    assert all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])
    frames = 18 - len(list((whole.folder / "validation" / "labels").iterdir()))
    assert f"{frames} training frames and 9 altered copies of each: {10 * frames} in all" in heard.said
