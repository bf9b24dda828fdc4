"""All that answering with a model takes, and nothing of how it was trained: preparation, network, tiles, masks.

A plan of ours says it among much else (:func:`serving_of`); a stock nnU-Net model says it in its own files; an exported
network carries it as JSON beside it, for programs that have neither.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from ercpseg.documents.base import Document, Part
from ercpseg.documents.plan import NetworkValues, Plan, PostprocessValues, PreparationValues
from ercpseg.structures import StructureSet

Size = tuple[int, int]


class StockPreparation(Part):
    """How stock nnU-Net prepares a frame without spacing: cut to what is not zero, normalise, never resample."""

    scheme: Literal["nnunet"] = Field("nnunet", description="tells this preparation from ours")
    normalisation: Literal["zscore", "rescale_to_0_1", "rgb_to_0_1", "ct", "nonorm"] = Field(
        description="nnU-Net's scheme"
    )
    nonzero_only: bool = Field(False, description="zscore over the pixels that are not zero; the others stay")
    clip: tuple[float, float] = Field((0.0, 0.0), description="ct: grey values to clip at")
    mean: float = Field(0.0, description="ct: what is subtracted")
    sd: float = Field(1.0, description="ct: what is divided by")


class StockNetwork(Part):
    """A U-Net of nnU-Net's own library, in the numbers of its plans (2D, convolution → norm → activation)."""

    architecture: Literal["PlainConvUNet", "ResidualEncoderUNet"] = Field(description="class of nnU-Net's library")
    features: tuple[int, ...] = Field(min_length=2, max_length=12, description="channels per stage")
    kernels: tuple[Size, ...] = Field(description="kernel (y, x) per stage")
    strides: tuple[Size, ...] = Field(description="stride (y, x) per stage")
    blocks: tuple[int, ...] = Field(description="convolutions or residual blocks per encoder stage")
    decoder_blocks: tuple[int, ...] = Field(description="convolutions per decoder stage")
    bias: bool = Field(description="convolutions have one")
    norm: Literal["instance", "batch", "none"] = Field(description="after each convolution")
    norm_eps: float = Field(1e-5, gt=0, lt=1, description="what the norm adds to the variance")
    norm_affine: bool = Field(True, description="the norm has a learnt scale and shift")
    activation: Literal["leaky_relu", "relu"] = Field(description="after each norm")
    slope: float = Field(0.01, description="of the leaky ReLU")


class Serving(Document):
    """What a model needs to answer. Arrays are (y, x); the network takes (n, frames, *tile_px), gives (n, heads, *tile_px)."""

    SCHEMA: ClassVar[str] = "ercpseg.serving/1"

    name: str = Field(description="what the model is called")
    structures: tuple[str, ...] = Field(description="what is segmented")
    of: tuple[str, ...] = Field((), description="names whose positions are the bits; empty: those of `structures`")
    heads: tuple[str, ...] = Field(description="output channels in order; those that are no structure are not written")
    activation: Literal["sigmoid", "softmax"] = Field(
        description="sigmoid: a head is set above its threshold; softmax: where it is the largest"
    )
    preparation: PreparationValues | StockPreparation = Field(description="how a frame becomes the network's input")
    frames: int = Field(
        1,
        ge=1,
        le=8,
        description="input channels: the prepared frame, then those right before it in its series; the earliest that there is "
        "is repeated. Left out when 1",
    )
    tile_px: Size = Field(
        description="tile (y, x) at working size; smaller frames are padded with 0, half on each side"
    )
    mirror_axes: tuple[int, ...] = Field(description="0 = up-down, 1 = left-right: test-time flips")
    network: NetworkValues | StockNetwork = Field(description="what computes the logits")
    postprocess: PostprocessValues = Field(description="thresholds and steps per structure, in working pixels")

    @model_serializer(mode="wrap")
    def _without_one(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave one frame out, so that documents of before there were more keep their hash."""
        data: dict[str, Any] = write(self)
        if self.frames == 1:
            data.pop("frames", None)
        return data

    @property
    def structure_set(self) -> StructureSet:
        """The structures with their bits."""
        return StructureSet(self.structures, self.of)

    @property
    def bits(self) -> dict[int, int]:
        """Head that is a structure → its bit."""
        structures = self.structure_set
        return {i: structures.value(name) for i, name in enumerate(self.heads) if name in self.structures}


def serving_of(plan: Plan) -> Serving:
    """What a plan of ours says of answering."""
    values = plan.values
    return Serving.new(
        name=plan.dataset,
        structures=values.heads.structures,
        of=values.heads.of,
        heads=tuple(plan.heads),
        activation="sigmoid",
        preparation=values.preparation,
        frames=values.input.frames,
        tile_px=values.patch.tile_px,
        mirror_axes=values.augmentation.mirror_axes,
        network=values.network,
        postprocess=values.postprocess,
    )
