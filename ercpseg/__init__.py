"""Self-configuring segmentation of ERCP X-ray fluoroscopy on top of nnU-Net.

``plan``, ``train``, ``Predictor`` and ``evaluate`` are the library; everything heavy is imported when first used.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from ercpseg.version import __version__

__all__ = ["Predictor", "__version__", "evaluate", "plan", "train"]

logging.getLogger(__name__).addHandler(logging.NullHandler())

if TYPE_CHECKING:
    from ercpseg.inference.predictor import Predictor
    from ercpseg.pipeline import evaluate, plan, train


def __getattr__(name: str) -> Any:
    if name == "Predictor":
        from ercpseg.inference.predictor import Predictor

        return Predictor
    if name in ("plan", "train", "evaluate"):
        from ercpseg import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module 'ercpseg' has no attribute {name!r}")
