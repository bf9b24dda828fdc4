"""What all annotation formats share: which files are theirs, which frame a name means, how text and pixels are read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from ercpseg.decoding.reading import guarded
from ercpseg.decoding.sniff import Kind
from ercpseg.decoding.source import Source
from ercpseg.documents.descriptor import AnnotationSpec
from ercpseg.errors import DocumentError, InputRefused, UsageError
from ercpseg.importers.annotation import LabelNames, is_term
from ercpseg.importers.naming import name_key
from ercpseg.importers.scan import Found
from ercpseg.storage.documents import MAX_BYTES, parse_json
from ercpseg.structures import StructureSet

T = TypeVar("T")

MAX_NAME_CHARACTERS = 1024
_NO_PICTURES: tuple[Kind, ...] = ("dicom", "video")
_IMAGE_SUFFIXES = frozenset(
    ["png", "jpg", "jpeg", "tif", "tiff", "bmp", "dcm", "dicom", "ima", "nrrd", "nhdr", "nii", "gz", "mha", "mhd"]
)


def below(found: Found, spec: AnnotationSpec) -> tuple[str, ...] | None:
    """The parts of the file's place below ``spec.path`` (the file's name alone when that is the file); None elsewhere.

    Files that a rule of the scan leaves out are nowhere, unless the rule is that they are text.
    """
    if found.ignored not in (None, "sidecar"):
        return None
    parts = tuple(found.source.split("/"))
    path = tuple(spec.path.split("/")) if spec.path else ()
    if parts == path:
        return parts[-1:]
    return parts[len(path) :] if len(parts) > len(path) and parts[: len(path)] == path else None


def is_named(found: Found, spec: AnnotationSpec) -> bool:
    """Whether the descriptor names this very file, so that it must be what the format says."""
    return found.source == spec.path


def has_suffix(found: Found, *suffixes: str) -> bool:
    """Whether the file's name ends so, in either case."""
    return found.source.lower().endswith(suffixes)


def own_stem(found: Found, spec: AnnotationSpec) -> str | None:
    """The file's stem without ``spec.suffix``, which is what its frame is called; None when it lacks that suffix."""
    stem = found.stem
    if not stem.endswith(spec.suffix) or len(stem) == len(spec.suffix):
        return None
    return stem.removesuffix(spec.suffix)


def own_key(found: Found, spec: AnnotationSpec) -> str:
    """The key of the one frame that a claimed file is about, by its name."""
    return name_key(own_stem(found, spec) or found.stem)


def frame_key(text: str, spec: AnnotationSpec, *, is_file: bool) -> str:
    """The key of the frame that a text of a file names: a file's name or path (which is never opened), or a stem.

    Folders are cut off, then one file suffix: in a file's name any that is not all digits, elsewhere only those of
    images, so that the last number of a UID stays; then ``spec.suffix``.

    Raises
    ------
    InputRefused
        ``bad-annotation`` when it is empty, too long, or no text that can be kept.
    """
    name = text.strip().replace("\\", "/").rpartition("/")[2]
    for _ in range(2 if name.lower().endswith(".nii.gz") else 1):
        stem, dot, suffix = name.rpartition(".")
        if stem and dot and (suffix.lower() in _IMAGE_SUFFIXES or (is_file and suffix and not suffix.isdigit())):
            name = stem
    if spec.suffix and len(name) > len(spec.suffix):
        name = name.removesuffix(spec.suffix)
    if not name or len(name) > MAX_NAME_CHARACTERS or "\0" in name or not _is_unicode(name):
        raise InputRefused("bad-annotation", "a frame without a usable name")
    return name_key(name)


def structure_of(names: LabelNames, label: Any) -> str | None:
    """The structure that a label means; None when it is to be left out.

    Raises
    ------
    InputRefused
        ``unknown-structure`` when no structure can be called so.
    """
    structure = names.structure(label) if isinstance(label, str) else ""
    if structure is not None:
        if names.open and isinstance(label, str) and not is_term(label):
            raise InputRefused("unknown-structure", "a label that is free text; say in a descriptor what it means")
        try:
            StructureSet((structure,))
        except UsageError:
            raise InputRefused("unknown-structure", "a label that cannot be the name of a structure") from None
    return structure


def read_json(found: Found) -> Any:
    """The content of a JSON file, at most 256 MiB; duplicate keys and NaN are refused.

    Raises
    ------
    InputRefused
        ``bad-annotation`` when it is no JSON, ``too-large``, or ``unreadable``.
    """
    data = guarded(lambda: found.file.read(MAX_BYTES))
    try:
        return parse_json(data, where=None)
    except DocumentError as error:
        raise InputRefused("bad-annotation", error.what) from error


def read_pixels(found: Found, what: str, read: Callable[[Source, Kind], T]) -> T:
    """Have an annotation's pixels decoded; ``what`` names it.

    Raises
    ------
    InputRefused
        ``bad-annotation``, with the decoder's own code, when it cannot be decoded.
    """
    kind = found.kind
    if kind is None or kind in _NO_PICTURES:
        raise InputRefused("bad-annotation", f"its {what} is no image")
    try:
        return read(found.file, kind)
    except InputRefused as error:
        if error.code == "bad-annotation":
            raise
        raise InputRefused("bad-annotation", f"its {what} is {error.code}") from error


def pack(data: Any) -> str:
    """The payload of an item: compact JSON, ASCII.

    Raises
    ------
    InputRefused
        ``bad-annotation`` when parsed data hold a number that is not finite, or lists too deep to be written.
    """
    try:
        return json.dumps(data, separators=(",", ":"), allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise InputRefused("bad-annotation", "a number is not finite, or lists lie too deep") from error


def pack_refusal(code: str, detail: str) -> str:
    """The payload of an item that cannot be drawn, so that only its own frame is refused."""
    return pack({"refused": [code, detail]})


def unpack(payload: str) -> Any:
    """What :func:`pack` packed.

    Raises
    ------
    InputRefused
        what :func:`pack_refusal` packed.
    """
    data = json.loads(payload)
    if isinstance(data, dict) and "refused" in data:
        raise InputRefused(*data["refused"])
    return data


def is_count(value: Any, most: int = 2**53) -> bool:
    """Whether a parsed value is a whole number from 0 to ``most``; ``true`` is none."""
    return type(value) is int and 0 <= value <= most


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
