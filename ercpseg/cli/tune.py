"""``tune``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ercpseg.cli.console import ConsoleProgress, say, table
from ercpseg.cli.options import DeviceOption, WorkspaceOption
from ercpseg.errors import UsageError

if TYPE_CHECKING:
    from ercpseg.documents.tuning import TunedStructure

HEADINGS = ["structure", "metric", "as planned", "best candidate", "gain ± standard error", "frames", "patients", ""]


def tune(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="Name of a dataset with trained folds.")],
    structures: Annotated[
        str | None,
        typer.Option("--structures", help="Tune these only, for example guidewire,stone. Default: all."),
    ] = None,
    fold: Annotated[
        str | None, typer.Option("--fold", help="Folds whose held-out frames to use, for example 0,1; default: all.")
    ] = None,
    device: DeviceOption = "auto",
    restart: Annotated[bool, typer.Option("--restart", help="Choose anew, though nothing has changed.")] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Choose thresholds and post-processing on the frames that trained folds have not seen.

    A change is taken only where the structure's metric gains more than one standard error between patients. The dataset's
    model gets the result, so predict uses it; the plan stays as it is. Training another fold makes the tuning stale.
    """
    from ercpseg.pipeline.tune import TuneOptions
    from ercpseg.pipeline.tune import tune as run

    options = TuneOptions(_names(structures, "--structures"), _names(fold, "--fold"), device, restart)
    result = run(dataset, workspace=workspace, options=options, progress=ConsoleProgress())
    tuning = result.tuning
    if not result.fresh:
        say(f"{tuning.dataset} is tuned already; --restart would choose anew")
    tuned = {name: tuning.tuned[name] for name in result.plan.values.heads.structures if name in tuning.tuned}
    table(HEADINGS, [_row(name, t) for name, t in tuned.items()])
    for name, t in tuned.items():
        say(f"{name}: {t.why}" + (f"; now {_setting(t)}" if t.accepted else ""))
    left = f"; {tuning.left_out} frames left out, whose folds are not trained" if tuning.left_out else ""
    say(f"{tuning.frames} frames of {tuning.patients} patients, each predicted by the fold that held it out{left}")
    say(f"wrote {result.file}")
    say(f"model: {result.model}")
    say(f"next: ercpseg predict INPUT OUTPUT --model {tuning.dataset}")


def _names(text: str | None, option: str) -> tuple[str, ...] | None:
    if text is None:
        return None
    names = tuple(part.strip() for part in text.split(","))
    if not all(names):
        raise UsageError(f"{text[:64]!r} has an empty name", where=option, expected="names separated by commas")
    return names


def _row(name: str, t: TunedStructure) -> list[str]:
    from ercpseg.documents.tuning import METRIC_TEXT
    from ercpseg.evaluation.table import NOTHING, fraction

    # What was chosen, else the candidate that came closest.
    best = t.value if t.accepted else max((r.value for r in t.trials if r.gain == t.gain and r.value), default=None)
    gain = NOTHING if t.gain is None else f"{t.gain:+.3f}" + ("" if t.gain_se is None else f" ± {t.gain_se:.3f}")
    figures = [fraction(t.default_value), fraction(best), gain, str(t.frames), str(t.patients)]
    return [name, METRIC_TEXT[t.metric], *figures, "accepted" if t.accepted else "as planned"]


def _setting(t: TunedStructure) -> str:
    steps = [
        " ".join([s.name, *(f"{k} {v:g}" for k, v in s.params.items()), *([f"of {s.of}"] if s.of else [])])
        for s in t.steps
    ]
    return f"threshold {t.threshold:g}, {'; '.join(steps) or 'no steps'}"
