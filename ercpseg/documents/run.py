"""Records of what was done: a training run, and the card of a model."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ercpseg.documents.base import Document, Part


class TransferRecord(Part):
    """What a training took over from another model, and what of the network then learnt."""

    model: str = Field(description="name on the model's card")
    model_sha256: str = Field(description="hash of the model")
    fold: str = Field(description="the fold whose weights were taken")
    tensors: int = Field(description="how many tensors were taken over")
    kept: tuple[str, ...] = Field(description="outputs that the model had, by name")
    fresh: tuple[str, ...] = Field(description="outputs that are new")
    scheme: str = Field(description="transfer.scheme of the plan")
    layers: int = Field(0, description="convolutions that a frame goes through")
    layers_trained: int = Field(0, description="how many of them learn")
    parameters_trained: int = Field(0, description="how many numbers learn")

    @property
    def text(self) -> str:
        """One sentence for people."""
        new = f"; new outputs: {', '.join(self.fresh)}" if self.fresh else ""
        return (
            f"begins from {self.model} (fold {self.fold}): {self.tensors} tensors, outputs {', '.join(self.kept) or 'none'}"
            f"{new}; {self.layers_trained} of {self.layers} layers learn ({self.scheme}), "
            f"{self.parameters_trained:,} parameters"
        )


class SyntheticRecord(Part):
    """Synthetic frames that a training drew beside those of its dataset."""

    frames: int = Field(description="how many there were")
    domain: str = Field(description="the domain of `synth` that they are of")
    seed: int = Field(description="what they were made from")
    frac: float = Field(description="share of every batch that was drawn from them")
    sha256: str = Field(description="hash over the prepared frames and their masks")
    seconds: float = Field(
        description="time that making them took, part of the time budget; 0: they were there already"
    )

    @property
    def text(self) -> str:
        """One sentence for people."""
        return f"{self.frames} synthetic frames ({self.domain}) are {100 * self.frac:.3g} % of every batch"


class RunRecord(Document):
    """One training of one fold of one plan."""

    SCHEMA: ClassVar[str] = "ercpseg.run/1"

    dataset: str
    fold: str
    plan_sha256: str
    frames_sha256: str
    seed: int
    epochs: int
    iterations: int
    parameters: int
    device: str
    threads: int
    seconds: float
    seconds_per_iteration: float
    expected_seconds_per_iteration: float | None
    memory_gb: float | None = Field(None, description="most memory that training took, above what it had before")
    expected_memory_gb: float | None = Field(None, description="what the plan expected")
    versions: dict[str, str]
    machine: str
    finished: bool
    transfer: TransferRecord | None = Field(None, description="the model it began from; null: random weights")
    encoder_sha256: str | None = Field(None, description="hash of the file that the encoder began from; null: none")
    synthetic: SyntheticRecord | None = Field(None, description="synthetic frames that were mixed in; null: none")
    pseudo_dice: dict[str, float] = Field(
        default_factory=dict, description="last patch-level validation Dice per head; not a result to quote"
    )


class FoldWeights(Part):
    """The weights of one fold inside a model folder. What a foreign model does not tell is null."""

    fold: str
    file: str
    sha256: str
    epochs: int | None
    iterations: int | None
    seed: int | None
    began_from: str | None = Field(None, description="SHA-256 of the model that the training began from")


class ModelCard(Document):
    """``model.json`` of a model folder: what it segments, from what it was trained, for what it is not meant."""

    SCHEMA: ClassVar[str] = "ercpseg.model/1"

    name: str
    structures: tuple[str, ...]
    ercpseg_version: str
    plan_sha256: str = Field(description="of plan.json; of serving.json in a model that stock nnU-Net trained")
    frames: int | None = Field(description="frames trained on; null where a foreign model does not tell")
    patients: int | None = Field(description="patients trained on; null where it is not known")
    folds: tuple[FoldWeights, ...]
    training_data: str
    intended_use: str = "Research on X-ray fluoroscopy of ERCP. Not a medical device; not for diagnosis or treatment."
    limits: tuple[str, ...] = ()
    reference_long_side_px: int | None = Field(
        None, description="long side of a frame that lengths in `ranges` refer to"
    )
    ranges: dict[str, tuple[float, float]] = Field(
        default_factory=dict,
        description="quantity of one frame → its 1st and 99th percentile over the training frames; predict tells which "
        "quantity of new frames lies outside (R34). Empty in models of before there were any",
    )
