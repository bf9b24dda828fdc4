"""Names of frames: the file's stem where that is safe and free, else a safe name of our own.

No text of a DICOM header ever becomes part of a path; file names do, when they hold only letters, digits, ``_``, ``-``
and ``.``. Names are unique without regard to case and Unicode form, so that no file system can merge two of them.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

from ercpseg.frames.names import Names

MAX_CHARACTERS = 80
MAX_BYTES = 200  # file systems take 255 bytes per name; a suffix like _0000.png must fit
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


def name_key(text: str) -> str:
    """What two names are compared by: NFC, without case.

    >>> name_key("Frame_A") == name_key("frame_a")
    True
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def frame_stem(stem: str, index: int | None) -> str:
    """The stem with the frame number of a multi-frame file.

    >>> frame_stem("clip", 7), frame_stem("clip", None)
    ('clip_f0007', 'clip')
    """
    return stem if index is None else f"{stem}_f{index:04d}"


def patient_of(stem: str) -> str:
    """The patient key of a file: what comes before the first ``_``, or the whole stem.

    >>> patient_of("p07_run2_0001"), patient_of("frame12")
    ('p07', 'frame12')
    """
    return stem.partition("_")[0] or stem


def private_stem(identity: str) -> str:
    """An id that tells nothing, the same for the same ``identity`` (a DICOM UID, or the path of a file without one).

    >>> private_stem("1.2.840.1")
    'xf9a1359915'
    """
    return "x" + hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:10]


class Namer:
    """Gives every frame its name; the same frames in the same order always get the same names."""

    def __init__(self) -> None:
        self._taken = Names()

    def claim(self, stem: str, source: str, index: int | None = None) -> str:
        """A name that nothing had before: ``stem`` (with ``_f0007``), or a slug with 8 hex of SHA-256 of ``source``."""
        name = unicodedata.normalize("NFC", frame_stem(stem, index))
        if not is_safe(name) or name_key(name) in self._taken:
            digest = hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()
            name = frame_stem(f"{_slug(stem)}-{digest[:8]}", index)
            if name_key(name) in self._taken:  # the same source again, or a file that is named like our own names
                name = frame_stem(f"{_slug(stem)[:8]}-{digest}", index)
        self._taken.add(name_key(name))
        return name


def is_safe(name: str) -> bool:
    """Whether a stem can be a file name everywhere: letters, digits, ``_``, ``-``, ``.`` inside; not too long.

    >>> [is_safe(n) for n in ("frame_01.v2", "../x", ".x", "x.", "a b", "con", "")]
    [True, False, False, False, False, False, False]
    """
    return (
        0 < len(name) <= MAX_CHARACTERS
        and len(name.encode("utf-8", "surrogatepass")) <= MAX_BYTES
        and all(c.isalnum() or c in "_-." for c in name)
        and (name[0].isalnum() or name[0] == "_")
        and name[-1] != "."
        and not _RESERVED.fullmatch(name)
    )


def _slug(stem: str) -> str:
    """ASCII letters, digits, ``_`` and ``-`` only, at most 40 characters."""
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_]+", "-", plain).strip("-_")[:40] or "frame"
