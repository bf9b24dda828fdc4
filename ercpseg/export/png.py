"""PNG of one frame: a mask per structure (the contract's), and a picture with outlines."""

from __future__ import annotations

from pathlib import Path

from ercpseg.export.protocol import Result
from ercpseg.frames.overlay import overlay
from ercpseg.storage.atomic import place
from ercpseg.storage.images import write_png
from ercpseg.structures import StructureSet


class Masks:
    """``masks/<structure>/<frame>.png``: 0 or 255, native size. Always written."""

    says = "masks as PNG, 0 or 255, one per structure; always written"
    suffix = ".png"
    needs_probabilities = False

    def folders(self, structures: StructureSet) -> tuple[str, ...]:
        """One per structure."""
        return tuple(f"masks/{name}" for name in structures)

    def write(self, output: Path, result: Result) -> None:
        """Write the masks."""
        for name, mask in result.masks.items():
            write_png(place(output, "masks", name, f"{result.frame.name}{self.suffix}"), mask, durable=False)


class Overlays:
    """``overlays/<frame>.png``: the frame with outlines and a legend, RGB, native size."""

    says = "the frame with outlines and a legend"
    suffix = ".png"
    needs_probabilities = False

    def folders(self, structures: StructureSet) -> tuple[str, ...]:
        """One."""
        return ("overlays",)

    def write(self, output: Path, result: Result) -> None:
        """Write the picture."""
        picture = overlay(result.frame.pixels, result.masks, result.structures.names)
        write_png(place(output, "overlays", f"{result.frame.name}{self.suffix}"), picture, durable=False)
