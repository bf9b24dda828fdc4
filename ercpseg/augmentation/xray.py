"""What only X-rays have: noise that grows where little light arrives, contrast that washes in, a collimator that moves.

All three draw in ``get_parameters`` from the global generators, which the loader seeds by the batch's position, and take a
z-scored image (c, y, x) whose outside is 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform, ImageOnlyTransform
from numpy.typing import NDArray

BACKGROUND_SIGMA = 0.06
"""Smoothness of what lies behind a duct, as a share of the patch's shorter side: a few duct widths."""
EDGE_SIGMA_PX = 1.5
"""Contrast ends softly, as the round wall of a duct does."""
ROUND_FRAC = 0.5
"""How often the collimator that moves is the round one of an image intensifier."""


class XrayNoise(ImageOnlyTransform):  # type: ignore[misc]  # the library is not typed
    """Gaussian noise of up to ``sd`` at the mean grey value, ``exp(−growth · z)`` times that at grey value z.

    Photons are counted, so that what absorbs many is noisier after the logarithm; within ±2 sd. Every channel has noise of
    its own, since frames of a series do.
    """

    def __init__(self, sd: float, growth: float):
        super().__init__()
        self.sd, self.growth = sd, growth

    def get_parameters(self, **data: Any) -> dict[str, Any]:
        """The noise at the mean grey value, (c, y, x)."""
        sd = self.sd * float(torch.rand(()))
        return {"noise": sd * torch.randn(data["image"].shape)}

    def _apply_to_image(self, img: torch.Tensor, **params: Any) -> torch.Tensor:
        noise: torch.Tensor = params["noise"] * (img != 0)  # what is exactly 0 lies outside the field
        return img + (noise * torch.exp(-self.growth * img.clamp(-2, 2)) if self.growth else noise)


class ContrastWashIn(ImageOnlyTransform):  # type: ignore[misc]
    """Less or more contrast agent in the ducts: the grey of ``bits`` moves towards what lies behind, or away from it.

    ``strength`` is drawn from ``amount``: 0 changes nothing, 1 leaves nothing of the contrast, −0.5 adds half of it.
    Attenuations add up, so a smooth difference is added: wires over the duct keep their contrast, and noise is what it was.
    ``devices``: bits of what is neither duct nor background where the two are measured.
    """

    def __init__(self, bits: int, amount: tuple[float, float], devices: int = 0):
        super().__init__()
        self.bits, self.amount, self.devices = bits, amount, devices

    def get_parameters(self, **data: Any) -> dict[str, Any]:
        """Strength, and where, (y, x); None where no duct is."""
        low, high = self.amount
        strength = low + (high - low) * float(torch.rand(()))
        bitmask = data["segmentation"][0].clamp_min(0).to(torch.int16)
        inside = (bitmask & self.bits) != 0
        devices = (bitmask & self.devices) != 0
        return {
            "strength": strength,
            "devices": devices.numpy(),
            "inside": inside.numpy() if bool(inside.any()) else None,
        }

    def _apply_to_image(self, img: torch.Tensor, **params: Any) -> torch.Tensor:
        inside = params["inside"]
        if inside is None:
            return img
        from scipy.ndimage import gaussian_filter

        sigma = BACKGROUND_SIGMA * min(inside.shape)
        near = params["strength"] * gaussian_filter(inside.astype(np.float32), EDGE_SIGMA_PX)
        result = img.clone()
        for channel in result:
            grey = channel.numpy()
            field = grey != 0  # what is exactly 0 lies outside the field
            free = field & ~params["devices"]

            def around(where: NDArray[np.bool_], grey: NDArray[np.float32] = grey) -> NDArray[np.float32]:
                share = gaussian_filter(where.astype(np.float32), sigma)
                return np.asarray(gaussian_filter(grey * where, sigma) / np.maximum(share, 1e-3), np.float32)

            grey += near * (around(free & ~inside) - around(free & inside)) * field
        return result


class CollimatorChange(BasicTransform):  # type: ignore[misc]
    """A smaller field: outside it the image is 0 and nothing is annotated. Each side keeps at least ``keep`` of its length."""

    def __init__(self, keep: float):
        super().__init__()
        self.keep = keep

    def get_parameters(self, **data: Any) -> dict[str, Any]:
        """What stays exposed, boolean (y, x)."""
        height, width = data["image"].shape[1:]
        y, x = torch.arange(height)[:, None], torch.arange(width)[None, :]
        lost = (1 - self.keep) * torch.rand(2)
        if float(torch.rand(())) < ROUND_FRAC:
            # The circle around the patch loses nothing; the smallest one has a diameter of `keep` of the shorter side's.
            least, most = self.keep * min(height, width) / 2, float(np.hypot(height, width)) / 2
            radius = most - float(torch.rand(())) * (most - least)
            at = [(n - 1) / 2 + (float(torch.rand(())) - 0.5) * (1 - self.keep) * n for n in (height, width)]
            return {"field": (y - at[0]) ** 2 + (x - at[1]) ** 2 <= radius**2}
        first = [
            int(float(torch.rand(())) * share * n) for share, n in zip(lost.tolist(), (height, width), strict=True)
        ]
        last = [
            n - int(share * n) + begin for share, n, begin in zip(lost.tolist(), (height, width), first, strict=True)
        ]
        return {"field": (y >= first[0]) & (y < last[0]) & (x >= first[1]) & (x < last[1])}

    def _apply_to_image(self, img: torch.Tensor, **params: Any) -> torch.Tensor:
        field: torch.Tensor = params["field"]
        return img * field

    def _apply_to_segmentation(self, segmentation: torch.Tensor, **params: Any) -> torch.Tensor:
        # Not a product: −1 outside the frame stays what it is.
        return torch.where(params["field"], segmentation, segmentation.clamp_max(0))
