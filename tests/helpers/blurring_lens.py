"""A model known by heart: what is red is near, and what is not in focus is smeared."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PROPS = {
    "size_multiple": "16",
    "focus_range": "-1 1",
    "aperture_fraction": "0.05",
    "aperture_range": "0 40",
    "inputs": "photo focus aperture",
    "weights": "0123456789abcdef",
    "analysis_side": "64",
}
SMEAR = 9  # px


def write_blurring_lens(path: Path) -> Path:
    """Write disparity = 2 red - 1, refocused = photo + min(1, aperture |focus - disparity| / 2) (mean - photo).

    Its halves lie beside it, NAME.analyse.onnx and NAME.render.onnx.
    """
    red = np.zeros((1, 3, 1, 1), np.float32)
    red[0, 0] = 2
    mean = np.zeros((3, 3, SMEAR, SMEAR), np.float32)
    mean[range(3), range(3)] = 1 / SMEAR**2
    constants = {"red": red, "minus": np.array([-1], np.float32), "mean": mean, "axes": np.array([1, 2, 3])}
    constants |= {"half": np.array(0.5, np.float32), "one": np.array(1, np.float32)}
    analyse = [helper.make_node("Conv", ["photo", "red", "minus"], ["disparity"])]
    render = [
        helper.make_node("Unsqueeze", ["focus", "axes"], ["focus4"]),
        helper.make_node("Unsqueeze", ["aperture", "axes"], ["aperture4"]),
        helper.make_node("Sub", ["focus4", "disparity"], ["signed"]),
        helper.make_node("Abs", ["signed"], ["away"]),
        helper.make_node("Mul", ["away", "aperture4"], ["wide"]),
        helper.make_node("Mul", ["wide", "half"], ["radius"]),
        helper.make_node("Min", ["radius", "one"], ["share"]),
        helper.make_node("Conv", ["photo", "mean"], ["smeared"], pads=[SMEAR // 2] * 4),
        helper.make_node("Sub", ["smeared", "photo"], ["lost"]),
        helper.make_node("Mul", ["lost", "share"], ["change"]),
        helper.make_node("Add", ["photo", "change"], ["refocused"]),
    ]
    shapes = {"photo": ["N", 3, "H", "W"], "disparity": ["N", 1, "H", "W"], "focus": ["N"], "aperture": ["N"]}
    shapes["refocused"] = shapes["photo"]
    for part, nodes, inputs, output in (
        ("", analyse + render, ["photo", "focus", "aperture"], "refocused"),
        (".analyse", analyse, ["photo"], "disparity"),
        (".render", render, ["photo", "disparity", "focus", "aperture"], "refocused"),
    ):
        graph = helper.make_graph(
            nodes,
            "lens",
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes[name]) for name in inputs],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, shapes[output])],
            [numpy_helper.from_array(value, name) for name, value in constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
        helper.set_model_props(model, PROPS | {"inputs": " ".join(inputs)})
        onnx.save(model, path.with_suffix(f"{part}.onnx"))
    return path
