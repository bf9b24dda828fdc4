"""How much a handful of labelled frames is worth, with and without the shipped weights to begin from (issue 6, few-shot).

Three targets: a synthetic room that the weights never saw, real angiograms, and by leave-one-out the annotated real ERCP
frames. *Without* is the automatic plan from random weights; *with* is the few-shot plan and ``--init-from light``. A core for
each training, two at a time; ``ERCPSEG_BENCH_FOLDER`` keeps what is finished, ``ERCPSEG_BENCH_MINUTES`` is the time of a
training (5; the whole takes about 75 minutes then). No weights are kept.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ercpseg.documents.scores import FrameScore
from ercpseg.evaluation.compare import Difference, Sums, paired_difference, patient_draws, sums
from ercpseg.storage.models import load_model
from ercpseg.storage.resources import shipped_models
from tests.benchmarks.arms import DEVICE, SCORES, Arm, folder, plan, read_scores, train
from tests.benchmarks.machine import run, script
from tests.benchmarks.real import data, split

MINUTES = float(os.environ.get("ERCPSEG_BENCH_MINUTES", "5"))
DOMAIN = "shiraz"
COUNTS = tuple(int(n) for n in os.environ.get("ERCPSEG_BENCH_COUNTS", "6,16,50,100").split(","))
POOL, TEST = max(COUNTS), int(os.environ.get("ERCPSEG_BENCH_TEST", "60"))
"""Frames to train on, of as many patients, and others to test on."""
WITH, WITHOUT = "light", "none"
METRICS = (("endoscope", "dice"), ("guidewire", "cldice"), ("cbd", "dice"), ("stone", "dice"), ("vessel", "dice"),
           ("vessel", "cldice"))  # fmt: skip
NAMES = {"dice": "Dice", "cldice": "clDice"}


@dataclass(frozen=True)
class Training:
    """One training and its test: a folder with ``train`` and ``test``; ``frames`` 0: the shipped weights as they are."""

    target: str
    frames: int
    start: str
    root: Path

    @property
    def arm(self) -> Arm:
        """What is planned and trained in the folder."""
        pins = ("transfer.made_for=light",) if self.start == WITH else ("transfer.made_for=null",)
        return Arm(self.start, "auto", pins=pins, init_from="light" if self.start == WITH else None)


def run_benchmark() -> str:
    """A table of frames × structures for each target, and the difference that the weights make."""
    with folder() as root:
        trainings = [*_synthetic(root / "synthetic"), *_angiograms(root / "xca"), *_real(root / "real")]
        with ThreadPoolExecutor(2 if DEVICE == "cpu" else 1) as pool:
            results = list(pool.map(_scores, trainings))
    found: dict[tuple[str, int, str], list[FrameScore]] = {}
    for training, scores in zip(trainings, results, strict=True):
        found.setdefault((training.target, training.frames, training.start), []).extend(scores)
    return _page(found)


def _synthetic(root: Path) -> Iterator[Training]:
    for name, count, seed in (("pool", POOL, "11"), ("test", TEST, "12")):
        run([script("ercpseg"), "synth", str(root / name), "--domain", DOMAIN, "--frames", str(count), "--patients",
             str(count), "--seed", seed])  # fmt: skip
    yield from _growing(f"synthetic room `{DOMAIN}`", root, root / "pool", root / "test", zero=True)


def _angiograms(root: Path) -> Iterator[Training]:
    source = data("xca-vessels")
    split(source, root / "pool", lambda stem: stem.startswith("training"))
    split(source, root / "test", lambda stem: stem.startswith("testing"))
    yield from _growing("angiograms (real)", root, root / "pool", root / "test", zero=False)


def _growing(target: str, root: Path, pool: Path, test: Path, *, zero: bool) -> Iterator[Training]:
    """The first frames of the pool, more and more of them: each set holds the one before."""
    stems = sorted(path.stem for path in (pool / "images").iterdir())
    if zero:
        yield Training(target, 0, WITH, _laid_out(root / "n000", test, set(), test, None))
    for count in sorted({min(count, len(stems)) for count in COUNTS}):
        chosen = set(stems[:count])
        for start in (WITHOUT, WITH):
            yield Training(target, count, start, _laid_out(root / f"n{count:03d}", pool, chosen, test, None))


def _real(root: Path) -> Iterator[Training]:
    """Leave one out: as many trainings as there are frames, with the others."""
    source = data("ercp-annotated")
    stems = sorted(path.stem for path in (source / "images").iterdir())
    for number, stem in enumerate(stems):
        rest = set(stems) - {stem}
        where = _laid_out(root / f"without-{number}", source, rest, source, {stem})
        yield Training("ERCP (real), leave one out", 0, WITH, where)
        for start in (WITHOUT, WITH):
            yield Training("ERCP (real), leave one out", len(rest), start, where)


def _laid_out(root: Path, pool: Path, chosen: set[str], test: Path, tested: set[str] | None) -> Path:
    """``root/train`` with the chosen frames of the pool, and ``root/test`` with those to test on (None: all)."""
    if not (root / "test").exists():
        shutil.rmtree(root / "train", ignore_errors=True)
        split(pool, root / "train", lambda stem: stem in chosen)
        split(test, root / "new-test", lambda stem: tested is None or stem in tested)
        (root / "new-test").rename(root / "test")  # last, so that it vouches for the rest
    return root


def _scores(training: Training) -> list[FrameScore]:
    """Train, predict, score, and forget the weights; what has scores is only read."""
    root, arm = training.root, training.arm
    if training.frames == 0:
        out = root / "out-zero"
        if not (out / SCORES).exists():
            ercpseg, common = script("ercpseg"), ["--no-overlays", "--runtime", "torch", "--no-tta"]
            run([ercpseg, "predict", str(root / "test" / "images"), str(out), "--model", "light", *common])
            run([ercpseg, "evaluate", str(out), str(root / "test")])
        return read_scores(out / SCORES)
    if not (root / f"out-{arm.name}" / SCORES).exists():
        plan(root, arm, minutes=MINUTES)
    scores = train(root, arm)
    shutil.rmtree(root / arm.name, ignore_errors=True)
    return scores


def _page(found: dict[tuple[str, int, str], list[FrameScore]]) -> str:
    rows = []
    for target, count in dict.fromkeys((target, count) for target, count, _ in found):
        sides = {start: found.get((target, count, start), []) for start in (WITHOUT, WITH)}
        # Without patients' names in the data every frame counts as one.
        by_frame = "angiograms" in target
        sides = {start: _keyed(scores, by_frame=by_frame) for start, scores in sides.items()}
        patients = sorted({score.patient for score in sides[WITH]})
        for structure, metric in METRICS:
            cells = _cells(sides, patients, structure, metric)
            if cells is not None:
                rows.append(f"| {target} | {count} | {structure} {NAMES[metric]} | {' | '.join(cells)} |")
    return (
        "## A handful of frames, with and without shipped weights\n\n"
        f"{MINUTES:g} minutes a training, one core each. *Without*: the automatic plan from random weights (on a CPU "
        "the larger network `realtime`). *With*: the few-shot plan, begun from `light`, for angiograms by a pin; 0 frames: "
        f"`light` ({load_model(shipped_models()['light']).sha256[:12]}) as it is. The synthetic room is one that it never saw, "
        f"{TEST} test frames of as many patients. Angiograms have no patients, so their intervals are by frame, and no "
        "structure that `light` knows. The six real ERCP frames are few, of one hospital, and scenes were changed beside "
        "them. No mirroring in prediction; 95 % intervals by a bootstrap of patients.\n\n"
        "| target | frames | | without | with | with − without |\n|---|---|---|---|---|---|\n" + "\n".join(rows)
    )


def _keyed(scores: Sequence[FrameScore], *, by_frame: bool) -> list[FrameScore]:
    return [s.model_copy(update={"patient": s.frame}) if by_frame else s for s in scores]


def _cells(
    sides: dict[str, list[FrameScore]], patients: list[str], structure: str, metric: str
) -> tuple[str, str, str] | None:
    """Both values and their difference, each with its interval; None where the structure is not scored."""
    sided: dict[str, Sums] = {}
    for start, scores in sides.items():
        mine = [score for score in scores if score.structure == structure]
        if mine:
            sided[start] = sums(mine, patients, metric)
    if WITH not in sided or sided[WITH].value is None:
        return None
    draws = patient_draws(len(patients))
    nothing = Sums(0 * sided[WITH].above, sided[WITH].below, sided[WITH].frames)
    texts = {
        start: _text(paired_difference({"": nothing}, {"": s}, draws), "{:.3f}", alone=s.value)
        for start, s in sided.items()
    }
    if WITHOUT not in sided:
        return "–", texts[WITH], "–"
    gain = paired_difference({"": sided[WITHOUT]}, {"": sided[WITH]}, draws)
    return texts[WITHOUT], texts[WITH], _text(gain, "{:+.3f}")


def _text(found: Difference, form: str, alone: float | None = None) -> str:
    """With its interval; ``alone`` without one, where too few patients show the structure."""
    if found.difference is None or found.low is None or found.high is None:
        return "–" if alone is None else form.format(alone)
    return f"{form} [{form}, {form}]".format(found.difference, found.low, found.high)
