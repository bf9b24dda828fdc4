"""A pen for ONNX graphs: layers in, nodes and numbers out, by numpy alone.

Weights go by the names that torch has for them. Batch norm becomes part of the convolution before it, in double precision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.networks.arrays import check_arrays

INPUT, OUTPUT = "frames", "logits"
OPSET = 17
IR_VERSION = 8
NORM_EPS = 1e-5
"""What torch's batch norm adds to the variance."""

Double = NDArray[np.float64]


class Drawing:
    """Collects the graph of one network after the other. A value of the graph is known by its name, a ``str``.

    The mirror image of what a network says of a mirrored frame is what the network with mirrored kernels says of the frame, so
    that the mean over both is one graph. Outputs are linear: they are added up before they are brought to full size.
    """

    def __init__(self) -> None:
        self._share, self._mirrored, self._total = 1.0, (False, False), ""
        self._doubled = False
        self._nodes: list[Any] = []
        self._numbers: list[Any] = []
        self._arrays: Mapping[str, NDArray[Any]] = {}
        self._asked: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {}

    def begin(self, arrays: Mapping[str, NDArray[Any]], *, share: float, mirrored: tuple[bool, bool]) -> None:
        """The layers that come are those of a network with these weights, mirrored along (y, x); ``share`` of it counts."""
        self._arrays, self._asked = arrays, {}
        self._share, self._mirrored = share, mirrored

    def end(self, *, where: object) -> None:
        """The network is whole.

        Raises
        ------
        StorageError
            when its weights are not exactly those that its layers asked for.
        """
        check_arrays(self._arrays, self._asked, where=where)

    def convolution(
        self,
        x: str,
        name: str,
        channels: tuple[int, int],
        size: int = 3,
        *,
        stride: int = 1,
        bias: bool = True,
        norm: str = "",
    ) -> str:
        """A square convolution (in, out) padded by half its size, and the batch norm called ``norm`` behind it."""
        weight, shift = self._layer(name, (channels[1], channels[0], size, size), 0, bias, norm)
        return self.node(
            "Conv", x, *self._kept(weight, shift),
            kernel_shape=[size] * 2, strides=[stride] * 2, pads=self._pads(size // 2, moved=stride == 2),
        )  # fmt: skip

    def merging(self, x: str, skip: str, name: str, channels: tuple[int, int, int], *, norm: str = "") -> str:
        """A 3 × 3 convolution of ``x`` and ``skip`` one after the other (of x, of skip, out), and its norm.

        As the sum of two convolutions: nothing is put together first, and onnxruntime keeps ``skip`` in its own layout (7 % of
        a pass of the light network).
        """
        first, second, outputs = channels
        weight, shift = self._layer(name, (outputs, first + second, 3, 3), 0, True, norm)
        shape: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1] * 4}
        of_skip = self.node("Conv", skip, *self._kept(weight[:, first:], shift), **shape)
        return self.node(
            "Add", of_skip, self.node("Conv", x, self._number(weight[:, :first].astype(np.float32)), **shape)
        )

    def doubling(self, x: str, name: str, channels: tuple[int, int], *, norm: str = "") -> str:
        """A transposed 3 × 3 convolution (in, out) that doubles the sides, with one pixel of padding."""
        weight, shift = self._layer(name, (*channels, 3, 3), 1, True, norm)
        return self.node(
            "ConvTranspose", x, *self._kept(weight, shift),
            kernel_shape=[3] * 2, strides=[2] * 2, pads=self._pads(1, moved=True),
            output_padding=[int(not mirrored) for mirrored in self._mirrored],
        )  # fmt: skip

    def output(self, x: str, name: str, channels: tuple[int, int], *, doubled: bool) -> None:
        """The logits: a 1 × 1 convolution (in, out), or a transposed one of 2 × 2 that doubles the sides."""
        inputs, heads = channels
        if doubled:  # four values of a pixel, one beside the other; they become 2 × 2 pixels when all are added up
            weight, shift = self._layer(name, (inputs, heads, 2, 2), 1, True, "")
            weight = weight.transpose(2, 3, 1, 0).reshape(4 * heads, inputs, 1, 1)
            shift = np.tile(shift, 4)
        else:
            weight, shift = self._layer(name, (heads, inputs, 1, 1), 0, True, "")
        result = self.node("Conv", x, *self._kept(weight * self._share, shift * self._share), kernel_shape=[1, 1])
        self._total = self.node("Add", self._total, result) if self._total else result
        self._doubled = doubled

    def folded(self, x: str, channels: int) -> str:
        """2 × 2 pixels become 4 channels, as by torch's ``pixel_unshuffle``, for ``channels`` channels."""
        weight = np.zeros((4 * channels, channels, 2, 2))
        for channel in range(channels):
            for number in range(4):
                weight[4 * channel + number, channel, number // 2, number % 2] = 1
        kept = self._kept(self._turned(weight), np.zeros(4 * channels))
        return self.node("Conv", x, *kept, kernel_shape=[2] * 2, strides=[2] * 2)

    def twice_as_large(self, x: str) -> str:
        """Bilinear, corners not aligned."""
        scales = self._number(np.array([1, 1, 2, 2], np.float32))
        return self.node("Resize", x, "", scales, mode="linear", coordinate_transformation_mode="half_pixel")

    def unused(self, name: str, channels: tuple[int, int]) -> None:
        """A head that only training looks at: a 1 × 1 convolution (in, out)."""
        self._take(f"{name}.weight", (channels[1], channels[0], 1, 1))
        self._take(f"{name}.bias", (channels[1],))

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """A node of ONNX with one output, whose name it gives."""
        from onnx import helper

        output = f"v{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def model(self, shape: Sequence[int], heads: int) -> bytes:
        """The graph of all outputs as ONNX: ``frames`` (n, c, y, x) float32 → ``logits`` (n, heads, y, x).

        n is free; c, y and x are those of ``shape``.
        """
        from onnx import TensorProto, helper

        kind: dict[str, Any] = {"op_type": "DepthToSpace", "blocksize": 2} if self._doubled else {"op_type": "Identity"}
        self._nodes.append(helper.make_node(inputs=[self._total], outputs=[OUTPUT], **kind))
        before = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["n", *shape[1:]])
        after = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["n", heads, *shape[2:]])
        graph = helper.make_graph(self._nodes, "network", [before], [after], self._numbers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="ercpseg")
        model.ir_version = IR_VERSION
        return bytes(model.SerializeToString())

    def _layer(
        self, name: str, shape: tuple[int, int, int, int], outputs: int, bias: bool, norm: str
    ) -> tuple[Double, Double]:
        """Weight and shift of a convolution, of which ``outputs`` is the axis of output channels, and of its norm."""
        count = shape[outputs]
        weight = self._take(f"{name}.weight", shape)
        shift = self._take(f"{name}.bias", (count,)) if bias else np.zeros(count)
        weight = self._turned(weight)
        if not norm:
            return weight, shift
        scale, offset, mean, variance = (
            self._take(f"{norm}.{part}", (count,)) for part in ("weight", "bias", "running_mean", "running_var")
        )
        self._asked[f"{norm}.num_batches_tracked"] = ((), np.dtype(np.int64))
        with np.errstate(invalid="ignore"):  # a negative variance is no number with torch either
            factor = scale / np.sqrt(variance + NORM_EPS)
        along = [1, 1, 1, 1]
        along[outputs] = count
        return weight * factor.reshape(along), (shift - mean) * factor + offset

    def _take(self, name: str, shape: tuple[int, ...]) -> Double:
        """A weight in double precision; zeros for one that :meth:`end` will refuse."""
        self._asked[name] = (shape, np.dtype(np.float32))
        found = self._arrays.get(name)
        return found.astype(np.float64) if found is not None and found.shape == shape else np.zeros(shape)

    def _turned(self, weight: Double) -> Double:
        """A kernel (…, y, x) as the mirrored network has it."""
        return np.flip(weight, tuple(axis - 2 for axis in (0, 1) if self._mirrored[axis]))

    def _pads(self, pad: int, *, moved: bool) -> list[int]:
        """What ONNX wants: before (y, x), behind (y, x). ``moved``: a stride of 2 begins at the other end where mirrored."""
        return [pad - (moved and mirrored) for mirrored in self._mirrored] + [pad] * 2

    def _kept(self, weight: Double, shift: Double) -> tuple[str, str]:
        return self._number(weight.astype(np.float32)), self._number(shift.astype(np.float32))

    def _number(self, array: NDArray[np.float32]) -> str:
        from onnx import numpy_helper

        name = f"w{len(self._numbers)}"
        self._numbers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name
