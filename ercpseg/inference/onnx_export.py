"""Networks of torch as ONNX graphs."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence

import torch

from ercpseg.errors import ResourceError
from ercpseg.inference.onnx import missing
from ercpseg.networks.drawing import INPUT, OPSET, OUTPUT


def to_onnx(networks: Sequence[torch.nn.Module], shape: tuple[int, int, int, int]) -> bytes:
    """The mean of ``networks`` as one ONNX graph: ``frames`` (n, c, y, x) float32 → ``logits`` (n, heads, y, x).

    n is free; c (frames of a series), y and x are those of ``shape``.

    Raises
    ------
    UsageError
        when the package onnx is not installed.
    ResourceError
        when the graph cannot be expressed, or is larger than 2 GB.
    """
    try:
        import onnx
    except ImportError as error:
        raise missing() from error
    buffer = io.BytesIO()
    example = torch.zeros((1, *shape[1:]))
    folds = Mean([network.eval().cpu().to(memory_format=torch.contiguous_format) for network in networks])
    try:
        # The exporter over torch.export takes 30 s for a network that this one writes in 11 s.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                folds.eval(),
                (example,),
                buffer,  # type: ignore[arg-type]
                dynamo=False,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_axes={INPUT: {0: "n"}, OUTPUT: {0: "n"}},
            )
        onnx.checker.check_model(buffer.getvalue())
    except (torch.onnx.errors.OnnxExporterError, RuntimeError, ValueError) as error:
        raise ResourceError(
            f"this network cannot be written as ONNX ({type(error).__name__})", where="onnx", todo="use --runtime torch"
        ) from error
    return buffer.getvalue()


class Mean(torch.nn.Module):
    """The mean of the logits of several networks."""

    def __init__(self, networks: Sequence[torch.nn.Module]):
        super().__init__()
        self.networks = torch.nn.ModuleList(networks)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """(n, c, y, x) → (n, heads, y, x)."""
        total: torch.Tensor = self.networks[0](frames)
        for network in list(self.networks)[1:]:
            total = total + network(frames)
        return total / len(self.networks) if len(self.networks) > 1 else total
