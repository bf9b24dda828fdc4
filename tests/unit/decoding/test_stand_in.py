"""GDCM where imagecodecs lacks a codec: the same pixels, and a clear refusal where neither is there."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest

from ercpseg.decoding import codecs
from ercpseg.errors import InputRefused

PIXELS = np.random.default_rng(2).integers(0, 4096, (24, 18)).astype(np.uint16)
STREAMS = {
    "1.2.840.10008.1.2.4.70": ("jpeg8_decode", imagecodecs.ljpeg_encode(PIXELS, bitspersample=12)),
    "1.2.840.10008.1.2.4.80": ("jpegls_decode", imagecodecs.jpegls_encode(PIXELS)),
    "1.2.840.10008.1.2.4.90": (
        "jpeg2k_decode",
        imagecodecs.jpeg2k_encode(PIXELS, codecformat="j2k", reversible=True, level=0),
    ),
}


@pytest.fixture(params=STREAMS)
def without(request, monkeypatch):
    """A syntax whose codec imagecodecs lacks, and a stream."""
    name, stream = STREAMS[request.param]

    def missing(*_, **__):
        raise imagecodecs.DelayedImportError(name)

    assert issubclass(imagecodecs.DelayedImportError, ImportError)
    assert (codecs.decode(request.param, stream, (24, 18, 1), 16, rgb=False) == PIXELS).all()
    monkeypatch.setattr(imagecodecs, name, missing)
    return request.param, stream


def test_gdcm_decodes_to_the_same(without):
    syntax, stream = without
    pytest.importorskip("gdcm")
    assert (codecs.decode(syntax, stream, (24, 18, 1), 16, rgb=False) == PIXELS).all()


def test_without_gdcm_the_codec_is_named_as_missing(without, monkeypatch):
    syntax, stream = without
    from pydicom.pixels.decoders.base import get_decoder

    monkeypatch.setattr(get_decoder(syntax), "_available", {})
    with pytest.raises(InputRefused, match="codec is not installed") as error:
        codecs.decode(syntax, stream, (24, 18, 1), 16, rgb=False)
    assert error.value.code == "unsupported-syntax"


def test_no_colour_by_gdcm(without):
    """What becomes of chroma differs between decoders."""
    syntax, _ = without
    stream = {
        "1.2.840.10008.1.2.4.80": imagecodecs.jpegls_encode,
        "1.2.840.10008.1.2.4.90": lambda a: imagecodecs.jpeg2k_encode(a, codecformat="j2k", reversible=True, level=0),
    }.get(syntax, lambda a: imagecodecs.jpeg8_encode(a, lossless=True))(np.full((24, 18, 3), 7, np.uint8))
    with pytest.raises(InputRefused, match="codec"):
        codecs.decode(syntax, stream, (24, 18, 3), 8, rgb=True)
