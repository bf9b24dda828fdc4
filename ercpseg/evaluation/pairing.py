"""Which frames and structures of two folders are compared; everything that is not is named."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ercpseg.errors import DataError
from ercpseg.evaluation.folders import MaskFolder
from ercpseg.structures import StructureSet


@dataclass(frozen=True)
class Pairing:
    """Frames and structures of both sides, brought together."""

    structures: tuple[str, ...]
    """On both sides, in their fixed order."""
    predicted_as: dict[str, str]
    """Frame of the reference → frame of the prediction, sorted; the frames that are compared."""
    missing: tuple[str, ...]
    """Frames of the reference without prediction."""
    unmatched: tuple[str, ...]
    """Frames of the prediction without reference."""
    reference_only: tuple[str, ...]
    prediction_only: tuple[str, ...]
    """Structures that one side has no folder for."""
    warnings: tuple[str, ...]


def pair(*, reference: MaskFolder, prediction: MaskFolder) -> Pairing:
    """Decide what is compared.

    Raises
    ------
    DataError
        when no structure or no frame is in both.
    """
    known = reference.masked | prediction.masked
    wanted, found = reference.frames(known), prediction.frames(known)
    predicted_as = {frame: frame for frame in wanted & found}
    for frame in found - wanted:
        alias = prediction.aliases.get(frame)
        if alias in wanted and alias not in found:
            predicted_as[alias] = frame
    missing = tuple(sorted(wanted - predicted_as.keys()))
    unmatched = tuple(sorted(found - set(predicted_as.values())))
    common = reference.files.keys() & prediction.files.keys()
    _require_something(reference, prediction, wanted, found, comparable=bool(common and predicted_as))
    reference_only = tuple(sorted(reference.files.keys() - common))
    prediction_only = tuple(sorted(prediction.files.keys() - common))
    warnings = [*reference.warnings, *prediction.warnings]
    if missing:
        codes = sorted({prediction.refused[f] for f in missing if f in prediction.refused})
        why = f" (predict refused some: {', '.join(codes)})" if codes else ""
        warnings.append(
            f"{len(missing)} of {len(wanted)} reference frames have no prediction and are not scored{why}: "
            f"{listed(missing)}"
        )
    if unmatched:
        warnings.append(f"{len(unmatched)} predicted frames have no reference: {listed(unmatched)}")
    warnings += [f"{name}: in the reference only, not scored" for name in reference_only]
    warnings += [f"{name}: in the prediction only, not scored" for name in prediction_only]
    if unannotated := predicted_as.keys() - reference.masked:
        warnings.append(
            f"{len(unannotated)} reference frames have an image but no mask and count as showing no structure: "
            f"{listed(unannotated)}"
        )
    if prediction.is_predict_output:
        # predict writes a mask for every structure, empty or not, so a file that is not there was lost.
        for name in sorted(common):
            if lost := set(predicted_as.values()) - prediction.files[name].keys():
                warnings.append(f"prediction: {len(lost)} masks of {name} are gone and count as empty: {listed(lost)}")
    return Pairing(
        structures=StructureSet.ordered(common).names,
        predicted_as=dict(sorted(predicted_as.items())),
        missing=missing,
        unmatched=unmatched,
        reference_only=reference_only,
        prediction_only=prediction_only,
        warnings=tuple(warnings),
    )


def listed(names: Iterable[str]) -> str:
    """Up to five names in order, and how many more.

    >>> listed("gfedcba"), listed([])
    ('a, b, c, d, e and 2 more', 'none')
    """
    items = sorted(names)
    return ", ".join(items[:5]) + (f" and {len(items) - 5} more" if len(items) > 5 else "") if items else "none"


def _require_something(
    reference: MaskFolder, prediction: MaskFolder, wanted: Iterable[str], found: Iterable[str], *, comparable: bool
) -> None:
    if comparable:
        return
    raise DataError(
        "nothing to compare: "
        f"the reference has structures {listed(reference.files)} in frames {listed(wanted)}; "
        f"the prediction has structures {listed(prediction.files)} in frames {listed(found)}",
        where=f"{reference.path} (reference) and {prediction.path} (prediction)",
        expected="masks/<structure>/<frame>.png with the same <structure> and <frame> on both sides",
    )
