"""What a comparison of recipes came to: candidates trained under one budget, and their paired differences."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from ercpseg.documents.base import Document, Part, Plain


class Studied(Part):
    """One recipe as a study asks for it."""

    given: str = Field(description="what was asked for: a name, or a recipe file")
    recipe: str = Field(description="name of the recipe, after an @ that of the model it begins from")
    sha256: str = Field(description="hash of the recipe with those it extends folded in")
    init_from_sha256: str | None = Field(None, description="hash of that model; null: from random weights")


class Study(Document):
    """What a comparison is of. It is written before anything is trained, and another one is another study."""

    SCHEMA: ClassVar[str] = "ercpseg.study/1"

    dataset: str
    recipes: tuple[Studied, ...] = Field(description="in the order given; the first is what others are compared with")
    folds: tuple[int, ...] = Field(description="folds whose held-out frames are scored")
    seeds: int = Field(description="trainings of each recipe and fold")
    time_budget_s: float = Field(description="time for each training")
    memory_gb: float | None = Field(description="memory to plan for; null: what is free")
    device: str
    threads: int = Field(description="CPU threads to plan for")
    overrides: dict[str, Plain] = Field(description="decisions that were pinned for all candidates")
    fingerprint_sha256: str
    splits_sha256: str = Field(description="hash of the folds, which are the dataset's for every candidate")


class CandidateRun(Part):
    """One training of one candidate."""

    seed: int
    fold: str
    plan_sha256: str
    epochs: int
    iterations: int
    seconds: float = Field(description="time that the training took")
    parameters: int = Field(description="numbers that were learnt")
    folder: str = Field(description="plan, run and model of this candidate, below the workspace")


class Candidate(Part):
    """One recipe in the comparison."""

    recipe: str = Field(description="name of the recipe, after an @ that of the model it begins from")
    given: str = Field(description="what was asked for: a name, or a recipe file")
    recipe_sha256: str = Field(description="hash of the recipe with those it extends folded in")
    network: str = Field(description="name of the network")
    init_from: str | None = Field(None, description="name of the model that it begins from; null: random weights")
    init_from_given: str | None = Field(None, description="what was asked for: its name, or its folder or zip")
    init_from_sha256: str | None = Field(None, description="hash of that model")
    same_as: str | None = Field(
        None, description="an earlier recipe that plans the same here; its training counts for both"
    )
    forward_ms: float | None = Field(
        None, description="one forward pass of a tile on the planning machine; null: not measured"
    )
    runs: tuple[CandidateRun, ...] = Field(description="one per seed and fold")


class Paired(Part):
    """One candidate on one structure, one family of structures, or overall; scores of held-out frames at native size."""

    recipe: str = Field(description="name of the recipe")
    scope: Literal["structure", "family", "overall"] = Field(description="what `name` names")
    name: str = Field(description="structure or family; `overall`")
    metric: str = Field(
        description="`cldice` for thin structures, `objects_f1` (IoU ≥ 0.5) for small ones, else `dice`; of families and "
        "overall `mean` over structures"
    )
    value: float | None = Field(description="mean of patient means; of objects, over all objects")
    difference: float | None = Field(description="value − value of the first recipe, on the same frames")
    low: float | None = Field(
        description="95 % interval of the difference, by a bootstrap of patients; null below two patients"
    )
    high: float | None = Field(description="the other end of the interval")
    frames: int = Field(description="frames in which the metric is defined")
    patients: int = Field(description="patients with such a frame")


class Verdict(Part):
    """Which recipe to take."""

    recipe: str = Field(description="name of the recipe")
    clear: bool = Field(
        description="whether its interval lies above 0; if not, nothing was clearly better and the first recipe stays"
    )
    because: str = Field(description="the figures that decided, in one sentence")


class Comparison(Document):
    """Recipes trained under one equal budget on the same folds, and what each is worth beside the first."""

    SCHEMA: ClassVar[str] = "ercpseg.comparison/1"

    dataset: str
    study: str = Field("", description="name of the study; empty in comparisons of before studies had names")
    folds: tuple[int, ...] = Field(description="folds whose held-out frames were scored")
    time_budget_s: float = Field(description="time for each training")
    device: str
    seeds: tuple[int, ...] = Field(description="seeds of the trainings; scores are means over them")
    fingerprint_sha256: str
    splits_sha256: str = Field(description="hash of the folds, which are the dataset's for every candidate")
    frames: int = Field(description="frames held out")
    patients: int = Field(description="patients, or groups that stand for them, held out")
    bootstrap_seed: int = Field(0, description="seed of the bootstrap")
    families: dict[str, str] = Field(description="structure → its family: thin, small or large")
    candidates: tuple[Candidate, ...] = Field(
        description="in the order given; the first is what others are compared with"
    )
    rows: tuple[Paired, ...] = Field(description="by structure, then family, then overall")
    winners: dict[str, Verdict] = Field(description="family of structures, or `overall` → what to take")
    warnings: tuple[str, ...] = ()
