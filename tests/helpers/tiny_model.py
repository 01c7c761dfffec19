"""A model small enough to know by heart, for tests of what runs exported models."""

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
}


def write_model(path: Path, props: dict[str, str], *, gain: float = 1, extra_input: str | None = None) -> Path:
    """Write a model of gain (photo + focus (3x3 mean - photo)) + aperture / 1000.

    It fails on sizes that are no multiple of 16, as a network with skip connections would.
    """
    kernel = np.zeros((3, 3, 3, 3), np.float32)
    kernel[range(3), range(3)] = gain / 9
    constants = {"kernel": kernel, "axes": np.array([1, 2, 3]), "thousand": np.array(1000, np.float32)}
    constants["blocks"] = np.array([0, 3, -1, 16])  # (N, 3, H W / 16, 16)
    constants["gain"] = np.array(gain, np.float32)
    nodes = [
        helper.make_node("Reshape", ["photo", "blocks"], ["blocked"]),
        helper.make_node("Shape", ["photo"], ["shape"]),
        helper.make_node("Reshape", ["blocked", "shape"], ["same"]),
        helper.make_node("Conv", ["same", "kernel"], ["mean"], pads=[1, 1, 1, 1]),
        helper.make_node("Mul", ["photo", "gain"], ["gained"]),
        helper.make_node("Sub", ["mean", "gained"], ["change"]),
        helper.make_node("Unsqueeze", ["focus", "axes"], ["focus4"]),
        helper.make_node("Mul", ["change", "focus4"], ["mixed"]),
        helper.make_node("Add", ["gained", "mixed"], ["focused"]),
        helper.make_node("Unsqueeze", ["aperture", "axes"], ["aperture4"]),
        helper.make_node("Div", ["aperture4", "thousand"], ["lift"]),
        helper.make_node("Add", ["focused", "lift"], ["refocused"]),
    ]
    image, scalar = ["N", 3, "H", "W"], ["N"]
    inputs = [("photo", image), ("focus", scalar), ("aperture", scalar)]
    inputs += [(extra_input, image)] if extra_input else []
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs],
        [helper.make_tensor_value_info("refocused", TensorProto.FLOAT, image)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, props)
    onnx.save(model, path)
    return path


def write_lens_models(path: Path, props: dict[str, str]) -> Path:
    """Write a model and its halves: disparity = 2 red - 1, refocused = photo + (focus - disparity) aperture / 1000.

    The halves lie beside it, NAME.analyse.onnx and NAME.render.onnx.
    """
    red = np.zeros((1, 3, 1, 1), np.float32)
    red[0, 0] = 2
    constants = {"red": red, "minus": np.array([-1], np.float32), "thousand": np.array(1000, np.float32)}
    constants["axes"] = np.array([1, 2, 3])
    analyse = [helper.make_node("Conv", ["photo", "red", "minus"], ["disparity"])]
    render = [
        helper.make_node("Unsqueeze", ["focus", "axes"], ["focus4"]),
        helper.make_node("Unsqueeze", ["aperture", "axes"], ["aperture4"]),
        helper.make_node("Sub", ["focus4", "disparity"], ["away"]),
        helper.make_node("Mul", ["away", "aperture4"], ["blur"]),
        helper.make_node("Div", ["blur", "thousand"], ["change"]),
        helper.make_node("Add", ["photo", "change"], ["refocused"]),
    ]
    shapes = {"photo": ["N", 3, "H", "W"], "disparity": ["N", 1, "H", "W"], "focus": ["N"], "aperture": ["N"]}
    shapes["refocused"] = shapes["photo"]
    for part, nodes, inputs, output in (
        ("", analyse + render, ["photo", "focus", "aperture"], "refocused"),
        (".analyse", analyse, ["photo"], "disparity"),
        (".render", render, ["photo", "disparity", "focus", "aperture"], "refocused"),
    ):
        used = {name for node in nodes for name in node.input}
        values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes[name]) for name in [*inputs, output]]
        kept = [numpy_helper.from_array(value, name) for name, value in constants.items() if name in used]
        graph = helper.make_graph(nodes, "tiny", values[:-1], values[-1:], kept)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
        helper.set_model_props(model, props | {"inputs": " ".join(inputs)})
        onnx.save(model, path.with_name(f"{path.stem}{part}{path.suffix}"))
    return path


def write_deblur_model(model: Path, *, gain: float = 0.5, **more: str) -> Path:
    """Write NAME.deblur.onnx beside a model: what it calls sharp is `gain` times as bright."""
    image = ["N", 3, "H", "W"]
    graph = helper.make_graph(
        [helper.make_node("Mul", ["photo", "gain"], ["sharp"])],
        "tiny",
        [helper.make_tensor_value_info("photo", TensorProto.FLOAT, image)],
        [helper.make_tensor_value_info("sharp", TensorProto.FLOAT, image)],
        [numpy_helper.from_array(np.array(gain, np.float32), "gain")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(made, PROPS | {"inputs": "photo", "weights": "of deblur"} | more)
    path = model.with_name(f"{model.stem}.deblur{model.suffix}")
    onnx.save(made, path)
    return path
