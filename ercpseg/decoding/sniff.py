"""What a file is, told by its first bytes; suffixes decide only where content cannot."""

from __future__ import annotations

import re
import zlib
from typing import Literal, get_args

Kind = Literal["png", "jpeg", "tiff", "bmp", "dicom", "nrrd", "nifti", "mha", "video"]
KINDS: tuple[Kind, ...] = get_args(Kind)

HEAD_BYTES = 1024
"""What :func:`sniff` wants to see: NIfTI has its mark at 344, and may be packed by gzip."""
_BMP_HEADERS = {12, 16, 40, 52, 56, 64, 108, 124}
_META = re.compile(rb"\s*(ObjectType\s*=\s*Image|NDims\s*=|Comment\s*=|ObjectSubType\s*=)")
_ATOMS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")


def sniff(head: bytes, size: int) -> Kind | None:
    """The format that the first :data:`HEAD_BYTES` bytes of a file of ``size`` bytes show, or None."""
    if head[128:132] == b"DICM":
        return "dicom"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "tiff"
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "bmp"
    if re.match(rb"NRRD000\d\r?\n", head):
        return "nrrd"
    if is_nifti(head) or is_nifti(gunzip_head(head)):
        return "nifti"
    if _META.match(head) and re.search(rb"^NDims\s*=\s*\d", head, re.MULTILINE):
        return "mha"
    if video_container(head) is not None:
        return "video"
    return "dicom" if _headless_dicom(head, size) else None


def is_nifti(head: bytes) -> bool:
    """NIfTI-1 has its mark at 344 (``ni1`` where the pixels are in another file), NIfTI-2 at 4."""
    return head[344:348] in (b"n+1\0", b"ni1\0") or head[4:12] in (b"n+2\0\r\n\x1a\n", b"ni2\0\r\n\x1a\n")


def gunzip_head(head: bytes, limit: int = HEAD_BYTES) -> bytes:
    """The first unpacked bytes of a gzip stream of which ``head`` is the beginning; empty when it is none."""
    if head[:3] != b"\x1f\x8b\x08":
        return b""
    try:
        return zlib.decompressobj(31).decompress(head, limit)
    except zlib.error:
        return b""


def video_container(head: bytes) -> Literal["mov", "avi", "matroska"] | None:
    """Which of the video containers that are understood begins so: MP4 and QuickTime, AVI, Matroska and WebM."""
    if head[4:8] in _ATOMS and (head[:4] == b"\0\0\0\1" or int.from_bytes(head[:4], "big") >= 8):
        return "mov"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    return "matroska" if head[:4] == b"\x1a\x45\xdf\xa3" else None


def _headless_dicom(head: bytes, size: int) -> bool:
    """DICOM without preamble begins with group 0002 or 0008: a tag, then a VR or a length that the file can hold."""
    if len(head) < 16:
        return False
    for order in ("little", "big"):
        group = int.from_bytes(head[0:2], order)
        if group in (2, 8) and head[4:6] in (b"UL", b"UI", b"CS", b"SH", b"DA", b"TM", b"OB", b"LO"):
            return True
        length = int.from_bytes(head[4:8], order)
        if order == "little" and group in (2, 8) and length % 2 == 0 and length < min(size, 1024):
            return True
    return False
