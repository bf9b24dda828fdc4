"""Text and markers that a vendor burns into frames, drawn after the field's border."""

from __future__ import annotations

import numpy as np

from ercpseg.synthesis.curves import Map
from ercpseg.synthesis.physics.field import Field
from ercpseg.synthesis.scene.view import View

WORDS = ("L", "R", "PA", "AP", "LIH", "75 kV", "2.1 mA", "FL", "12:41:07", "ZOOM 1", "0.4 mGy", "II 30")
"""None of them is a person's."""


def burn(grey: Map, field: Field, view: View) -> Map:
    """The frame (y, x) with its marker and texts."""
    if not field.marker and not field.text:
        return grey
    rng = np.random.Generator(np.random.PCG64(field.seed))
    grey = grey.copy()
    if field.marker:
        _oval(grey, rng, view)
    if field.text:
        _words(grey, rng)
    return grey


def _oval(grey: Map, rng: np.random.Generator, view: View) -> None:
    """A small oval outline at the lower left border of a round field."""
    height, width = view.shape
    cy, cx = (0.925 + rng.uniform(-0.006, 0.006)) * height, (0.232 + rng.uniform(-0.006, 0.006)) * width
    a, b, turn = 0.018 * height, 0.006 * height, np.deg2rad(-35)
    reach = int(1.5 * a) + 2
    rows, columns = (slice(max(int(c) - reach, 0), int(c) + reach) for c in (cy, cx))
    part = grey[rows, columns]
    y, x = np.arange(height)[rows, None] - cy, np.arange(width)[None, columns] - cx
    u = (x * np.cos(turn) - y * np.sin(turn)) / a
    v = (x * np.sin(turn) + y * np.cos(turn)) / b
    ring = np.abs(np.hypot(u, v) - 1) < 0.28
    part[ring] = np.where(rng.random(int(ring.sum())) < 0.75, rng.uniform(0.1, 0.5), 0)
    part[np.hypot(u, v) < 0.7] *= 0.15


def _words(grey: Map, rng: np.random.Generator) -> None:
    """Words along the borders."""
    from PIL import Image, ImageDraw, ImageFont

    height, width = grey.shape
    layer = Image.new("L", (width, height))
    draw = ImageDraw.Draw(layer)
    for _ in range(int(rng.integers(1, 6))):
        size = int(max(8, height * rng.uniform(0.018, 0.04)))
        place = (rng.uniform(0.01, 0.85) * width, rng.choice([0.01, 0.05, 0.9, 0.95]) * height)
        text = str(rng.choice(np.asarray(WORDS)))
        draw.text(place, text, fill=int(rng.integers(150, 256)), font=ImageFont.load_default(size))
    burned = np.asarray(layer, np.float32) / 255
    np.maximum(grey, burned, out=grey)
