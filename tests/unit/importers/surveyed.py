"""Survey and draw annotation files as the import does: scan, claim, survey, and draw what is about one frame."""

from __future__ import annotations

import numpy as np
import pytest

from ercpseg.documents.descriptor import AnnotationSpec
from ercpseg.errors import InputRefused
from ercpseg.importers import formats
from ercpseg.importers.annotation import Context, Drawn, LabelNames
from ercpseg.importers.scan import scan
from ercpseg.structures import StructureSet

NAME = "Doe"
"""What hostile files are full of, and no refusal may quote."""


class Surveyed:
    """All items of one format below a folder; ``decoders`` may be None where nothing is decoded."""

    def __init__(self, root, decoders=None, names=None, **spec):
        self.decoders = decoders
        self.format = formats.make(AnnotationSpec(**spec), LabelNames() if names is None else names)
        self.claimed = [found for found in scan(root) if self.format.claims(found)]
        self.items = [(found, item) for found in self.claimed for item in self.format.survey(found, decoders)]

    @property
    def keys(self):
        return [item.key for _, item in self.items]

    @property
    def structures(self):
        return StructureSet.ordered({name for _, item in self.items for name in item.structures} or {"nothing"})

    def draw(self, key, shape, structures=None, spacing=None) -> Drawn:
        context = Context(shape, structures or self.structures, self.decoders, spacing)
        drawn = Drawn()
        for found, item in self.items:
            if item.key == key:
                drawn.join(self.format.draw(found, item, context))
        drawn.bitmask(context)
        assert all(mask.shape == shape and mask.dtype == np.bool_ for mask in drawn.masks.values())
        return drawn


def refused(call) -> str:
    """The code with which ``call`` is refused, without the name that the file holds."""
    with pytest.raises(InputRefused) as error:
        call()
    assert NAME.lower() not in error.value.message.lower()
    return error.value.code


def box(shape, top, bottom, left, right):
    """A mask of rows and columns, inclusive."""
    mask = np.zeros(shape, bool)
    mask[top : bottom + 1, left : right + 1] = True
    return mask
