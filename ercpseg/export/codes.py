"""What structures are, in codes that other programs know: SNOMED CT for the default four.

Source: PS3.16, CID 7150 (categories), CID 3411 (devices), CID 4031 (anatomy); the endoscope and the calculus are concepts of
SNOMED CT that those tables do not list. A structure that a dataset declares itself gets codes of our own scheme: what it
is, is not known, and a wrong code is worse than a private one.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

PRIVATE_SCHEME = "99ERCPSEG"
PRIVATE_SCHEME_NAME = "ercpseg: structures named by a dataset"


class Code(NamedTuple):
    """A coded concept (PS3.3 8.8)."""

    value: str
    scheme: str
    meaning: str


class Coded(NamedTuple):
    """A segment's category and type, and where in the body it is, if that is part of what it is."""

    category: Code
    kind: Code
    region: Code | None = None


_OBJECT = Code("260787004", "SCT", "Physical object")
_ANATOMY = Code("91723000", "SCT", "Anatomical Structure")
_ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
_CBD = Code("79741001", "SCT", "Common bile duct")
CODES: dict[str, Coded] = {
    "endoscope": Coded(_OBJECT, Code("37270008", "SCT", "Endoscope")),
    "guidewire": Coded(_OBJECT, Code("272224001", "SCT", "Guide wire")),
    "cbd": Coded(_ANATOMY, _CBD),
    "stone": Coded(_ABNORMAL, Code("56381008", "SCT", "Calculus"), _CBD),
}


def coded(structure: str) -> Coded:
    """The codes of a structure.

    >>> coded("cbd").kind.value, coded("airway").kind
    ('79741001', Code(value='airway', scheme='99ERCPSEG', meaning='airway'))
    """
    value = structure  # a code's value has 16 characters at most (SH); longer names are told apart by a hash
    if len(value) > 16:
        value = f"{structure[:9]}_{hashlib.sha256(structure.encode()).hexdigest()[:6]}"
    private = Code(value, PRIVATE_SCHEME, structure)
    return CODES.get(structure, Coded(Code("structure", PRIVATE_SCHEME, "Structure named by a dataset"), private))
