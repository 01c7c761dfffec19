"""A monocular depth network small enough to know by heart, and a photo for it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper


def write_depth_model(
    path: Path,
    shape: Sequence[int | str] = ("N", 3, "H", "W"),
    *,
    rank: int = 4,
    scale: float = 1,
    multiple: int = 1,
    dtype: int = TensorProto.FLOAT,
    outputs: int = 1,
) -> Path:
    """Write a model of scale x the mean of the channels, that fails on sizes that are no multiple of `multiple`."""
    last = shape[-1] == 3
    kind = helper.tensor_dtype_to_np_dtype(dtype)
    constants = {
        "scale": np.array(scale, kind),
        "blocks": np.array([0, 0, -1, multiple] if not last else [0, -1, multiple, 3]),
        "channel": np.array([3 if last else 1]),
    }
    nodes = [
        helper.make_node("Shape", ["pixels"], ["shape"]),
        helper.make_node("Reshape", ["pixels", "blocks"], ["blocked"]),
        helper.make_node("Reshape", ["blocked", "shape"], ["same"]),
        helper.make_node("ReduceMean", ["same", "channel"], ["mean"], keepdims=rank == 4),
        *(helper.make_node("Mul", ["mean", "scale"], [f"depth{k}"]) for k in range(outputs)),
    ]
    maps = [helper.make_tensor_value_info(f"depth{k}", dtype, [None] * rank) for k in range(outputs)]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("pixels", dtype, shape)],
        maps,
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def ramp(height: int = 60, width: int = 80) -> NDArray[np.uint8]:
    """Return a photo that grows brighter to the right: to the models here, nearer."""
    return np.tile(np.linspace(0, 255, width)[None, :, None], (height, 1, 3)).astype(np.uint8)
