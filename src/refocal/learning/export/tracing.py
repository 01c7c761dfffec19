"""torch modules to ONNX graphs: dynamic sizes, weights inside, the same bytes in every checkout."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

import refocal

SMALL = 1024  # constants of fewer values are not worth a cast
CHANNELS = {"photo": 3, "disparity": 1}  # inputs that are pictures; the others are one number a photo


def to_onnx(
    module: nn.Module, inputs: Sequence[str], output: str, *, multiple: int, opset: int, branches: bool = False
) -> onnx.ModelProto:
    """Trace a module with dynamic N, H, W, and clear what differs by checkout or would leak its paths.

    Parameters
    ----------
    module : nn.Module
        In evaluation mode.
    inputs, output : str
        Their names: "photo" and "disparity" are (N, C, H, W), any other is (N,).
    multiple : int
        What H and W are multiples of.
    opset : int
        Of ONNX.
    branches : bool
        Whether what is computed depends on the values (`torch.cond`), which the usual way of tracing fails on.
    """
    rows, columns = (multiple * torch.export.Dim(name, min=1, max=1 << 14) for name in ("h", "w"))
    batch = torch.export.Dim("N", min=1, max=1024)
    example = tuple(
        torch.zeros(2, CHANNELS[name], 2 * multiple, 3 * multiple) if name in CHANNELS else torch.ones(2)
        for name in inputs
    )
    shapes = {name: {0: batch, 2: rows, 3: columns} if name in CHANNELS else {0: batch} for name in inputs}
    with _quiet():
        program = torch.onnx.export(
            torch.export.export(module, example, dynamic_shapes=shapes, strict=True) if branches else module,
            () if branches else example,
            dynamo=True,
            opset_version=opset,
            input_names=list(inputs),
            output_names=[output],
            dynamic_shapes=None if branches else shapes,
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise ValueError("torch gave no ONNX program")
    model = program.model_proto
    _strip(model)
    _move_inward(model.graph)
    _halve(model.graph)
    for value in (*model.graph.input, *model.graph.output):  # plain names instead of expressions such as 32*h
        named = [side for side in value.type.tensor_type.shape.dim if not side.HasField("dim_value")]
        for side, letter in zip(named, "NHW", strict=False):  # numbers have N alone
            side.dim_param = letter
    model.producer_name, model.producer_version = "refocal", refocal.__version__
    return model


def _strip(model: onnx.ModelProto) -> None:
    """Clear remarks: the exporter's hold stack traces, which differ by checkout and leak its paths."""
    parts = [model, *model.functions, *(node for function in model.functions for node in function.node)]
    for graph in _graphs(model.graph):
        graph.ClearField("value_info")  # shapes between the nodes: inferred anew by who loads the file
        parts += [graph, *graph.node, *graph.input, *graph.output, *graph.initializer]
    for part in parts:
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Yield a graph and those of its branches, inner ones first."""
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _graphs(attribute.g)
    yield graph


def _move_inward(graph: onnx.GraphProto) -> None:
    """Give each branch its own constants: only those of its own graph does onnxruntime arrange for its convolutions."""
    *branches, _ = _graphs(graph)
    for branch in branches:
        used = {name for node in branch.node for name in node.input}
        branch.initializer.extend(constant for constant in graph.initializer if constant.name in used)
    used = {name for node in graph.node for name in node.input}
    kept = [constant for constant in graph.initializer if constant.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _halve(graph: onnx.GraphProto) -> None:
    """Store weights in 16 bits where they lose nothing by it, as released ones do; they are computed with in 32."""
    casts = []
    for constant in graph.initializer:
        if constant.data_type != onnx.TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(constant)
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if values.size < SMALL or not np.array_equal(half.astype(np.float32), values):
            continue
        name = constant.name
        constant.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
        casts.append(onnx.helper.make_node("Cast", [constant.name], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's remarks on its own inner workings; what goes wrong is raised."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "torch.export")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
