"""The table of annotation formats."""

from __future__ import annotations

from collections.abc import Callable

from ercpseg.documents.descriptor import AnnotationSpec, FormatName
from ercpseg.importers.annotation import AnnotationFormat, LabelNames
from ercpseg.importers.coco import Coco
from ercpseg.importers.colourmaps import ColourMaps
from ercpseg.importers.dicomseg import DicomSeg
from ercpseg.importers.labelmaps import LabelMaps
from ercpseg.importers.labelme import Labelme
from ercpseg.importers.masks import Masks
from ercpseg.importers.polylines import Polylines
from ercpseg.importers.segnrrd import SegNrrd

FORMATS: dict[FormatName, Callable[[AnnotationSpec, LabelNames], AnnotationFormat]] = {
    "masks": Masks,
    "labelme": Labelme,
    "labels": LabelMaps,
    "colours": ColourMaps,
    "coco": Coco,
    "polylines": Polylines,
    "seg-nrrd": SegNrrd,
    "dicom-seg": DicomSeg,
}
"""Name in a descriptor → format."""


def make(spec: AnnotationSpec, names: LabelNames) -> AnnotationFormat:
    """The format that a descriptor asks for.

    Raises
    ------
    DataError
        when its table of values or colours contradicts itself.
    """
    return FORMATS[spec.format](spec, names)
