"""Models with random weights of any network and size, for benchmarks that only ask how long they take."""

from __future__ import annotations

from pathlib import Path

import torch


def random_model(folder: Path, network: str, size: int) -> Path:
    """A model folder of ours: four structures, one fold, frames of ``size`` × ``size`` as one tile."""
    from ercpseg.networks import build_network
    from ercpseg.networks.options import spec
    from ercpseg.networks.weights import weights_of
    from ercpseg.storage.arrays import encode_arrays
    from ercpseg.storage.models import write_model
    from ercpseg.structures import DEFAULT_STRUCTURES, StructureSet
    from tests.unit.core.plans import card_of, tiny_plan

    structures = StructureSet(DEFAULT_STRUCTURES)
    heads = tuple(structures.heads())
    per_head = {f"loss__{key}": dict.fromkeys(heads, 1.0) for key in ("head_weight", "dice_weight", "focal_weight")}
    plan = tiny_plan(
        preparation__working_long_side_px=size,
        preparation__field_mask=True,
        patch__size_px=[size, size],
        patch__tile_px=[size, size],
        network__name=network,
        network__features=list(spec(network).features),
        heads__structures=list(structures),
        heads__parents=list(structures.parents),
        loss__focal_alpha=dict.fromkeys(heads, 1.0),
        loss__focal_gamma=dict.fromkeys(heads, 0.0),
        sampling__structure_share=dict.fromkeys(structures, 0.25),
        postprocess__threshold=dict.fromkeys(structures, 0.5),
        postprocess__steps={
            "endoscope": [{"name": "keep_largest"}],
            "guidewire": [{"name": "remove_small", "params": {"min_area_px": 20}}],
            "cbd": [],
            "stone": [],
        },
        **per_head,
    )
    torch.manual_seed(0)
    built = build_network(plan.values.network, list(plan.heads))
    weights = {"fold_0.safetensors": encode_arrays(weights_of(built), {})}
    write_model(folder, plan, card_of(plan, weights), weights)
    return folder
