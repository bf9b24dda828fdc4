"""The sections of a plan on what a network is given: the preparation of frames, how many at a time, patches and tiles."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from ercpseg.documents.base import Part

Size = tuple[int, int]
Positive = Annotated[float, Field(gt=0, le=1e6)]
Percentage = Annotated[float, Field(ge=0, le=100)]


def rising(pair: tuple[float, float]) -> tuple[float, float]:
    """The pair itself, when it is a range.

    Raises
    ------
    ValueError
        when the larger number comes first.
    """
    if not pair[0] <= pair[1]:
        raise ValueError(f"{pair[0]:g} to {pair[1]:g} is no range; expected the smaller number first")
    return pair


class PreparationValues(Part):
    """How a frame becomes the network's input; the same in training and in live prediction."""

    working_long_side_px: int = Field(ge=16, le=4096, description="the longer side after resampling (R6)")
    clip_percentiles: Annotated[tuple[Percentage, Percentage], AfterValidator(rising)] = Field(
        description="in-field percentiles to clip at before normalising (R2)"
    )
    field_mask: bool = Field(description="statistics inside the exposed field only, zero outside (R3)")
    invert: bool = Field(False, description="grey values are turned round, because devices are bright (R1)")
    median_px: int = Field(0, ge=0, le=15, description="side of the median filter on native pixels; 0 = none (R5)")
    erode_px: int = Field(
        0, ge=0, le=15, description="side of the grey filter that thickens devices on native pixels; 0 = none (R5)"
    )
    equalise: bool = Field(False, description="histogram equalisation inside the field, after clipping (R5)")
    sharpen: float = Field(0.0, ge=0, le=4, description="k of image − k·Laplacian, before resampling; 0 = none (R5)")
    dataset_mean_sd: tuple[float, Positive] | None = Field(
        None,
        description="mean and standard deviation of the z-score of every frame, in grey values; null: its own (R2)",
    )
    dilate_px: dict[str, Annotated[int, Field(ge=0, le=16)]] = Field(
        default_factory=dict,
        description="structure → working pixels by which its training masks are thickened; undone by a step (R23)",
    )
    dilate_kernel: Literal["disk", "square"] = Field(
        "disk",
        description="what they are thickened with: all pixels within that distance, or a square of 2·dilate_px + 1 (R23)",
    )
    thin: tuple[str, ...] | None = Field(
        None, description="structures of which any coverage counts when masks shrink below 2 px (R7); null: max_pooled"
    )


class InputValues(Part):
    """What the network is given of a series."""

    frames: int = Field(
        1,
        ge=1,
        le=8,
        strict=True,
        description="frames stacked as channels: the frame itself, then those right before it in its series (R11)",
    )


class PatchValues(Part):
    """What the network sees at once: patches in training, tiles in prediction."""

    size_px: Size = Field(description="training patch (y, x) at working size (R8)")
    tile_px: Size = Field(description="prediction tile (y, x) at working size; may be larger than the patch (R8)")
    whole_frame: bool = Field(description="a frame always fits one tile, so that prediction is one call per frame")
    batch_size: int = Field(ge=1, description="(R9)")
