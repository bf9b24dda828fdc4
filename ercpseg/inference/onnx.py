"""onnxruntime, which is 1.8 to 2 times faster than torch on a CPU, and starts in a tenth of the time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ercpseg.errors import UsageError
from ercpseg.frames.arrays import Array, moved, to_numpy
from ercpseg.inference.folds import Folds
from ercpseg.inference.runtimes import Chosen, Task, difference
from ercpseg.inference.threads import thread_count
from ercpseg.networks.drawing import INPUT, OUTPUT

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


class OnnxRuntime:
    """onnxruntime on the CPU, or on CUDA where its CUDA package is installed. ``optimised``: layers fused and laid out anew."""

    name = "onnxruntime"
    side_by_side = True

    def __init__(self, graph: bytes, device: str, threads: int | None = None, *, optimised: bool = True):
        try:
            import onnxruntime
        except ImportError as error:
            raise missing() from error
        wanted = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}.get(device)
        if wanted not in onnxruntime.get_available_providers():
            raise UsageError(
                f"this onnxruntime cannot use {device}",
                where="--runtime",
                todo="use --runtime torch or --device cpu",
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or thread_count()
        options.log_severity_level = 3
        if not optimised:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        # Threads that wait by spinning steal the cores from those that decode and write.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session: InferenceSession = onnxruntime.InferenceSession(graph, options, providers=[wanted])

    def __call__(self, batch: Array) -> Array:
        """See :class:`ercpseg.inference.runtimes.Runtime`."""
        (logits,) = self._session.run([OUTPUT], {INPUT: np.ascontiguousarray(to_numpy(batch))})
        return moved(logits, batch)


def build_onnx(folds: Folds, device: str, precision: str, task: Task) -> Chosen:
    """onnxruntime, from a graph made in memory: drawn without torch where that can be, else exported by torch."""
    if precision not in ("auto", "fp32"):
        raise UsageError(f"onnxruntime computes in fp32, not {precision}", where="--precision", expected="auto or fp32")
    threads = 1 if task.lanes > 1 else thread_count()
    if folds.drawable:
        graph = _drawn(folds, task)
        runtime, plain = OnnxRuntime(graph, device, threads), OnnxRuntime(graph, device, threads, optimised=False)
        found = difference(runtime, plain, task, "cpu")
        note = f"onnxruntime float32 on {device} without torch, logits within {found:.0e} of its graph layer by layer"
        return Chosen(runtime, note, found, mirrors=True)
    from ercpseg.inference.onnx_export import to_onnx
    from ercpseg.inference.torch_runtime import TorchRuntime

    runtime = OnnxRuntime(to_onnx(folds.networks, task.shape), device, threads)
    found = difference(runtime, TorchRuntime(folds.networks, "cpu", "fp32"), task, "cpu")
    return Chosen(runtime, f"onnxruntime float32 on {device}, logits within {found:.0e} of torch", found)


def _drawn(folds: Folds, task: Task) -> bytes:
    try:
        return folds.drawn(task.shape, task.flips)
    except ImportError as error:
        raise missing() from error


def missing() -> UsageError:
    """What to say where the extra cannot be loaded."""
    return UsageError(
        "onnx or onnxruntime is not installed or cannot be loaded",
        where="--runtime",
        todo="install ercpseg with its extra: ercpseg[onnx]",
    )
