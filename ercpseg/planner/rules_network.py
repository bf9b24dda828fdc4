"""Rules on the network and what it sees at once: levels, patch, heads, deep supervision, batch."""

from __future__ import annotations

import math

from ercpseg.documents.plan import NetworkValues, Size
from ercpseg.networks import divisor
from ercpseg.networks.options import spec
from ercpseg.planner.rule import Advice, Choice, Context, percent
from ercpseg.planner.shipped import SHIPPED
from ercpseg.planner.sizes import (
    CROP_BATCH,
    batch_for_memory,
    features_for,
    largest_working_size,
    parse_shapes,
    round_up,
    training_patch,
)
from ercpseg.structures import StructureSet

WHOLE_FRAME_PX = 1024
LEAST_TILE_PX = 512
TILE_SCOPE_WIDTHS = 8.0
PRESENCE_CHANCE = 0.95
MAX_BATCH = {"cpu": 8, "cuda": 16, "mps": 16}
CPU_PIXELS_PER_STEP = 512**2
"""On a CPU a step of this many pixels takes about 0.2 s; larger steps leave too few of them. Measured."""
ENOUGH_ITERATIONS = 2500
"""With fewer steps than this, more steps are worth more than larger batches. Judgement."""
MAX_AUXILIARY = {"unet": 3, "resenc": 3, "light": 2, "light-full": 2, "realtime": 2}
WINDOWED = ("light", "light-full", "realtime")
"""Networks whose batch statistics let windows train what whole frames use."""


def heads(context: Context) -> Advice:
    """R13: heads and parents.

    Decides: one sigmoid output per structure, and the parents (unions) that are learnt beside them; the bits of both.
    From: the structures, or those that a person left (``heads.structures``); the largest overlap of two of them.
    Because: structures overlap in projection, which exclusive classes (softmax) cannot express; a union is easier to
    see than its parts (a wire always comes from an endoscope, a stone lies in a duct) and guides them.
    Source: LIP6 internship offer 2023; BraTS regions; nnU-Net issue 2417 [E2/J]
    """
    # The fixed order, not the mapping's: a document that was saved and loaded has its keys sorted.
    names = StructureSet.ordered(context.fingerprint.structures).names
    parents = tuple(StructureSet(names).parents)
    pairs = [(share, a, b) for a, row in context.fingerprint.overlap.items() for b, share in row.items()]
    share, a, b = max(pairs, default=(0.0, "", ""))
    overlap = f"{percent(share, 1)} of {a} is also {b}" if share > 0 else "no two structures overlap here, but they may"
    inputs = {"largest_overlap": share}
    whole = StructureSet.ordered(context.dataset_structures or names).names
    rest = [name for name in whole if name not in names]
    kept = f"{', '.join(rest)} are not learnt; the bits stay those of the dataset." if rest else "All are learnt."
    return Advice(
        {
            "heads.structures": Choice(names, f"One sigmoid each: {overlap}.", inputs),
            "heads.of": Choice(whole if rest else (), kept, {"dataset": list(whole)}),
            "heads.parents": Choice(
                parents,
                "All members are present in the dataset." if parents else "No parent has all its members here.",
                {"structures": list(names)},
                (((), "No parents: what a wire or a stone always comes with would guide nothing."),),
            ),
        }
    )


def options(context: Context) -> Advice:
    """R11: the network's own numbers.

    Decides: what the network has beyond channels and levels, for example FRA-Net's encoder or the cascade's reach.
    From: the network's name; for the cascade also which output is the instrument.
    Because: its defaults are the published values, or ours where it is ours; nothing in the data speaks for others.
    Source: the table of networks (docs/explanation/networks-and-losses.md) [J]
    """
    name = context["network.name"]
    defaults = {key: option.default for key, option in spec(name).options.items()}
    heads = (*context["heads.structures"], *context["heads.parents"])
    if "instrument_head" in defaults and "instrument" in heads:
        defaults["instrument_head"] = heads.index("instrument")
    because = f"The defaults of {name}." if defaults else f"{name} has no numbers of its own."
    return Advice({"network.options": Choice(defaults, because, {"network": name})})


def features(context: Context) -> Advice:
    """R10: depth and channels.

    Decides: the encoder's channels, highest resolution first, and thereby the number of levels.
    From: the network's name and the shorter side of a working frame.
    Because: halving goes on while the smallest map keeps an edge of 4 px, so that the deepest level sees the whole
    frame; channels double from 32 to 512 (nnU-Net's U-Nets) or are those that the network was published with, as many
    levels of them as the frame has room for. Few-shot (R12) takes the channels of the weights, or they would not fit.
    Source: nnU-Net 2.8.1 planner; Gherardini 2020 (reconstructed); the table of networks [E1/E2]
    """
    name, working = context["network.name"], _working(context)
    edge = min(_frame_or_tile(context, working))
    value = features_for(name, edge)
    because = f"{name}: {len(value)} levels for an edge of {edge} px."
    if context.few_shot == name:
        value = SHIPPED[name].features
        because = f"The {len(value)} levels of {name} as shipped (R12)."
    shallow, floor = value[:-1], edge // 2 ** (len(value) - 1)
    others = ((shallow, f"One level fewer: the deepest map would see less of the frame than it could at {floor} px."),)
    return Advice({"network.features": Choice(value, because, {"network": name, "edge_px": edge}, others)})


def patch(context: Context) -> Advice:
    """R8: patch and tile.

    Decides: what the network sees at once: the patch in training, the tile in prediction, and whether a frame always
    fits one tile.
    From: the sizes of all frames at working size, the network's halvings, the device, what is thin or tiny.
    Because: whole frames need no tiles, no blending, and show where a wire comes from. A tile is as high as the highest
    and as wide as the widest working frame, rounded up to what the network can halve. Above 1024 px, or
    where two do not fit a GPU's memory, tiles of at least 512 px and eight endoscope widths are taken. The patch is the
    tile, but for a small network on a CPU (light, realtime) with thin or tiny structures: half as long (192 px at least),
    because windows around them teach more per second, and batch normalisation lets the trained network see whole frames.
    A pinned patch is the tile as well, unless that is pinned too; a pinned tile bounds the patch.
    Source: nnU-Net 2.8.1 planner; FRA-Net and Martin 2022 (whole frames); windows: docs/benchmarks.md [E2/E3]
    """
    working = _working(context)
    multiple = divisor(context["network.name"], context["network.features"])
    small = [name for name, t in context.traits.items() if t.is_("thin") or t.is_("tiny")]
    crops = context.budget.device == "cpu" and context["network.name"] in WINDOWED and bool(small)
    frame = _frame_or_tile(context, working)
    whole_patch = round_up(frame, multiple)
    # What the rule says where nobody pins the key itself, and what stands in the plan after the pins.
    said_tile: Size = tuple(context.pinned("patch.size_px", whole_patch))
    tile: Size = tuple(context.pinned("patch.tile_px", said_tile))
    window = training_patch(frame, multiple, crops=crops)
    bound: Size = tuple(context.pinned("patch.tile_px", whole_patch))
    size = min(window[0], bound[0]), min(window[1], bound[1])
    windows = crops and size != whole_patch
    whole = tile[0] >= working[0] and tile[1] >= working[1]
    inputs = {"largest_working_frame_px": list(working), "divisor": multiple, "device": context.budget.device}
    frames = f"The largest working frame is {working[0]} × {working[1]} px"
    tiles = frames + (f"; sides are multiples of {multiple}." if frame == working else ", too large for one tile.")
    patches = f"Windows of {size[0]} × {size[1]} px show {', '.join(small)} more often." if windows else tiles
    because = "The pinned patch is the tile too." if "patch.size_px" in context.pins else tiles
    fits = f"{frames}, a tile {tile[0]} × {tile[1]} px."
    sizes = {"largest_working_frame_px": list(working), "tile_px": list(tile)}
    half = training_patch(frame, multiple, crops=True)
    patch_others = [(whole_patch, "A whole frame shows small structures less often per second of training.")]
    if not windows:
        patch_others = [
            (half, "Windows: a whole frame also shows where a wire comes from, and nothing speaks for less.")
        ]
    tile_others = [(half, "Tiles: they would have to be blended, and a frame fits without.")]
    if frame != working:
        cannot = f"One tile for a whole frame: it is above {WHOLE_FRAME_PX} px, or two do not fit the memory."
        tile_others = [(round_up(working, multiple), cannot)]
    return Advice(
        {
            "patch.size_px": Choice(size, patches, {**inputs, "thin_or_tiny": small}, patch_others),
            "patch.tile_px": Choice(said_tile, because, inputs, tile_others),
            "patch.whole_frame": Choice(whole, fits, sizes),
        }
    )


def deep_supervision(context: Context) -> Advice:
    """R22: deep supervision.

    Decides: how many auxiliary outputs below full resolution learn, each half the size of the one before.
    From: the width of thin structures (w₁₀) and of tiny ones (w₅₀) at working size; the network and the device.
    Because: an output at 1/2ᵏ learns a structure only if w·2⁻ᵏ ≥ 1 px is left of it; nearest-neighbour targets drop 25 %
    of a 3-px wire at a quarter and 62 % at an eighth.
    Source: nnU-Net 2.8.1 (code), issue 1226; geometry [E2/E3]
    """
    name, device = context["network.name"], context.budget.device
    narrow, width = narrowest(context)
    limit = min(MAX_AUXILIARY.get(name, 1), len(context["network.features"]) - 2, 1 if device == "cpu" else 6)
    allowed = limit if width is None else sum(width * 0.5**k >= 1 for k in range(1, limit + 1))
    because = (
        f"{narrow} is {width:.1f} px wide at working size, so {allowed} of {limit} lower outputs can show it."
        if width is not None
        else f"Nothing thin or tiny, so all {limit} lower outputs learn."
    )
    inputs = {"narrowest": narrow, "width_px": width and round(width, 2), "network": name}
    others = [(k, f"{narrow} would keep less than 1 px at the lowest output.") for k in range(allowed + 1, limit + 1)]
    others += [(0, "Without lower outputs the deep levels learn later.")]
    return Advice({"network.deep_supervision": Choice(allowed, because, inputs, others)})


def batch(context: Context) -> Advice:
    """R9: batch size.

    Decides: how many patches make a training step.
    From: memory; the chance π that a drawn patch shows the rarest structure; frames; on a CPU the measured step.
    Because: the Dice of a batch needs every structure in it, with 95 % chance: B ≥ ln 0.05 / ln(1 − π), where a patch
    drawn at random shows what is tiny as often as its share of the frame's area. On a GPU B is what nnU-Net's estimate
    of 85·10⁶ feature elements per 12 samples and 8 GB allows, at most 5 % of the frames and at least 2. On a CPU B is 2
    to 8, a frame of 512² in pixels, at least 4 for windows (batch statistics), and shrinks while the time allows fewer
    than 2500 steps.
    Source: nnU-Net 2.8.1 planner; batch Dice; the CPU limits are judgement [E2/J]
    """
    f, device = context.fingerprint, context.budget.device
    size: Size = tuple(context["patch.size_px"])
    head_count = len(context["heads.structures"]) + len(context["heads.parents"])
    network = NetworkValues(
        name=context["network.name"],
        features=context["network.features"],
        deep_supervision=context["network.deep_supervision"],
        options=context["network.options"],
    )
    needed, rarest, chance = _batch_for_presence(context)
    inputs = {"rarest": rarest, "presence_chance": round(chance, 3), "needed_for_presence": needed, "device": device}
    if device == "cpu":
        start = round(CPU_PIXELS_PER_STEP / (size[0] * size[1]))
    else:
        fitting = batch_for_memory(network.name, network.features, size, head_count, context.budget.memory_gb)
        inputs["fits_memory"] = fitting
        start = min(fitting, max(2, round(0.05 * f.frames)))
        start = max(start, min(needed, max(2, fitting)))
    least = CROP_BATCH if device == "cpu" and size != tuple(context["patch.tile_px"]) else 2
    limit = MAX_BATCH[device] if device == "cpu" else max(2, fitting)
    value = min(MAX_BATCH[device], limit, max(least, start, needed))
    steps = context.meter.iterations(network, size, value, head_count, budget=context.budget)
    tried: list[tuple[int, str]] = []
    while value > least:
        slow = device == "cpu" and steps is not None and steps < ENOUGH_ITERATIONS
        fits = context.meter.fits(network, size, value, head_count, budget=context.budget)
        if fits and not slow:
            break
        slower = f"The time allows {steps} steps of it, fewer than {ENOUGH_ITERATIONS}."
        tried.append((value, slower if fits else "It does not fit the memory."))
        value = max(least, value // 2)
        steps = context.meter.iterations(network, size, value, head_count, budget=context.budget)
    because = f"{value} patches of {size[0]} × {size[1]} px" + (f"; the time allows {steps} steps" if steps else "")
    because += f"; {needed} would show {rarest} in 95 % of the batches." if rarest else "."
    if needed > value and needed not in dict(tried):
        tried.append(
            (needed, f"It would show {rarest} in 95 % of the batches, but is more than {device} is planned for.")
        )
    return Advice({"patch.batch_size": Choice(value, because, inputs, tried)}, _too_large(context, network, value))


def _too_large(context: Context, network: NetworkValues, batch: int) -> tuple[str, ...]:
    """A warning where even this batch takes more memory than there is."""
    size: Size = tuple(context["patch.size_px"])
    head_count = len(context["heads.structures"]) + len(context["heads.parents"])
    cost, there = context.meter.cost(network, size, batch, head_count), context.budget.memory_gb
    if cost is not None and cost.memory_gb > there:
        taken = f"{cost.memory_gb:.2g} GB"
    elif (
        context.budget.device != "cpu" and batch_for_memory(network.name, network.features, size, head_count, there) < 2
    ):
        taken = "more by nnU-Net's estimate"
    else:
        return ()
    return (
        f"MEMORY: a step of {batch} patches takes {taken}, and there are {there:.2g} GB; pin a smaller patch.size_px (R9).",
    )


def narrowest(context: Context) -> tuple[str | None, float | None]:
    """The structure that vanishes first at lower resolution, and its width in working pixels.

    A blob's skeleton tapers at its ends, so its 10th percentile says little: tiny structures count by their median.
    """
    widths = {
        name: t.width10_px if t.is_("thin") else t.width50_px
        for name, t in context.traits.items()
        if t.is_("thin") or t.is_("tiny")
    }
    name = min(widths, key=lambda n: widths[n], default=None)
    return name, None if name is None else widths[name]


def _working(context: Context) -> Size:
    return largest_working_size(parse_shapes(context.fingerprint.shapes), context["preparation.working_long_side_px"])


def _frame_or_tile(context: Context, working: Size) -> Size:
    """The working frame where it is small enough and two of it fit a GPU, else a tile (never larger than the frame)."""
    name, budget = context["network.name"], context.budget
    levels, head_count = (
        features_for(name, min(working)),
        len(context["heads.structures"]) + len(context["heads.parents"]),
    )
    fits = budget.device == "cpu" or batch_for_memory(name, levels, working, head_count, budget.memory_gb) >= 2
    if max(working) <= WHOLE_FRAME_PX and fits:
        return working
    scope = context.traits.get("endoscope")
    tile = max(LEAST_TILE_PX, math.ceil(TILE_SCOPE_WIDTHS * scope.width50_px) if scope else 0)
    return min(tile, working[0]), min(tile, working[1])


def _batch_for_presence(context: Context) -> tuple[int, str | None, float]:
    """Batch size that shows the rarest structure with 95 % chance, that structure, and its chance per patch."""
    oversample, share = context["sampling.oversample_frac"], context["sampling.structure_share"]
    area = min(1.0, math.prod(context["patch.size_px"]) / math.prod(_working(context)))
    shown = {n: t.presence_frac * (area if t.is_("tiny") else 1) for n, t in context.traits.items() if t.shown}
    chances = {name: q + (1 - q) * oversample * share.get(name, 0.0) for name, q in shown.items()}
    rarest = min(chances, key=lambda n: chances[n], default=None)
    if rarest is None or chances[rarest] >= PRESENCE_CHANCE:
        return 1, rarest, 1.0 if rarest is None else chances[rarest]
    return math.ceil(math.log(1 - PRESENCE_CHANCE) / math.log(1 - chances[rarest])), rarest, chances[rarest]
