"""Any monocular depth network the user names gives depth in focus units: ONNX files, and transformers models."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, save
from tiny_depth import ramp, write_depth_model

from refocal.depth.disparity import to_focus
from refocal.depth.onnx_network import PRESETS, OnnxNetwork

MEAN, STD = np.array(PRESETS["midas"].mean), np.array(PRESETS["midas"].std)


@pytest.mark.parametrize(
    "shape", [("N", 3, "H", "W"), ("N", "H", "W", 3), (1, 3, 56, 70), (1, 42, 56, 3), (1, 3, 28, "W")]
)
@pytest.mark.parametrize("rank", [3, 4])
@pytest.mark.parametrize("dtype", [TensorProto.FLOAT, TensorProto.FLOAT16])
def test_any_interface_of_one_image_and_one_map_works(
    tmp_path: Path, shape: tuple[int | str, ...], rank: int, dtype: int
) -> None:
    model = OnnxNetwork(write_depth_model(tmp_path / "a.onnx", shape, rank=rank, dtype=dtype, multiple=14), threads=1)
    depth = model(ramp())
    assert (depth.disparity.dtype, depth.disparity.shape) == (np.float32, (60, 80))
    assert depth.photo.shape == (60, 80, 3)
    np.testing.assert_allclose(depth.disparity[30], np.linspace(-1, 1, 80), atol=0.1)
    assert depth.source.startswith("a.onnx at ")


@pytest.mark.parametrize("photo", [ramp() * np.uint16(257), ramp() / np.float32(255), ramp()[..., 0]])
def test_any_photo_works(tmp_path: Path, photo: NDArray) -> None:
    model = OnnxNetwork(write_depth_model(tmp_path / "a.onnx", multiple=14), threads=1)
    assert model(photo).photo is photo
    np.testing.assert_allclose(model(photo).disparity, model(ramp()).disparity, atol=0.02)


@pytest.mark.parametrize(
    ("preset", "size", "photo", "wanted"),
    [
        (None, None, (60, 80), "686 x 518"),  # short side 518, multiples of 14
        ("depth-anything-v2", None, (80, 60), "518 x 686"),
        ("depth-anything-v2", 280, (60, 80), "378 x 280"),
        ("midas", None, (60, 80), "384 x 288"),  # long side 384, multiples of 32
        ("midas", 256, (60, 80), "256 x 192"),
        ("midas-release", None, (80, 60), "288 x 384"),
        ("dpt", None, (60, 80), "512 x 384"),
        ("midas", None, (2, 400), "384 x 32"),
    ],
)
def test_presets_choose_the_size(
    tmp_path: Path, preset: str | None, size: int | None, photo: tuple[int, int], wanted: str
) -> None:
    multiple = PRESETS[preset or "depth-anything-v2"].multiple
    model = OnnxNetwork(write_depth_model(tmp_path / "a.onnx", multiple=multiple), preset, size=size, threads=1)
    assert model(ramp(*photo)).source == f"a.onnx at {wanted}"


def test_a_size_that_the_file_fixes_is_used_and_cannot_be_chosen(tmp_path: Path) -> None:
    path = write_depth_model(tmp_path / "a.onnx", (1, 3, 56, 70))
    assert OnnxNetwork(path, "midas", threads=1)(ramp()).source == "a.onnx at 70 x 56"
    with pytest.raises(ValueError, match=r"size: the model .* fixes it, 56 x 70"):
        OnnxNetwork(path, size=280)


def test_colours_are_normalised_as_told(tmp_path: Path) -> None:
    """Red left, green right, equally bright: which is larger depends on the normalisation alone."""
    photo = np.zeros((28, 28, 3), np.uint8)
    photo[:, :14, 0] = photo[:, 14:, 1] = 255
    path = write_depth_model(tmp_path / "a.onnx", (1, 3, 28, 28))

    def left_minus_right(**settings: object) -> float:
        disparity = OnnxNetwork(path, threads=1, **settings)(photo).disparity
        return float(disparity[14, 3] - disparity[14, 24])

    assert 1 / STD[0] < 1 / STD[1]
    assert left_minus_right() < -1.9  # ImageNet: green counts more
    assert left_minus_right(std=(0.1, 0.2, 0.2)) > 1.9
    assert abs(left_minus_right(preset="midas-release")) < 0.01  # as it is
    assert abs(left_minus_right(preset="dpt")) < 0.01
    assert abs(left_minus_right(mean=(0.3, 0, 0), std=(1, 1, 1))) < 0.01  # a shift alone changes nothing


def test_metric_depth_is_inverted(tmp_path: Path) -> None:
    path = write_depth_model(tmp_path / "a.onnx", (1, 3, 60, 80), scale=5)
    photo = np.maximum(ramp(), 51)
    depth = OnnxNetwork(path, "midas-release", gives="depth", threads=1)(photo).disparity
    wanted = to_focus(photo[..., 0].astype(np.float32) / 51, None, "depth")
    np.testing.assert_allclose(depth, wanted, atol=0.01)
    assert depth[30, 5] > 0.99 > -0.99 > depth[30, 79]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"preset": "zoe"}, "preset must be one of depth-anything-v2, midas, midas-release, dpt, got 'zoe'"),
        ({"size": 0}, "size must be an integer from 1 to 4096, got 0"),
        ({"size": 518.0}, "size must be an integer"),
        ({"mean": (0, 0)}, "mean must be three numbers"),
        ({"mean": "abc"}, "mean must be three numbers"),
        ({"mean": (0, 0, float("nan"))}, "mean must be three numbers"),
        ({"std": (1, 0, 1)}, "std must be above 0"),
        ({"gives": "metres"}, "gives must be one of disparity, depth, inverted, got 'metres'"),
        ({"threads": -1}, "threads must be an integer, at least 0, got -1"),
    ],
)
def test_settings_out_of_range_are_refused(tmp_path: Path, settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        OnnxNetwork(write_depth_model(tmp_path / "a.onnx"), **settings)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_depth_model_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("depth")
    write_depth_model(tmp_path / "two.onnx", outputs=2)
    write_depth_model(tmp_path / "grey.onnx", ("N", 1, "H", "W"))
    write_depth_model(tmp_path / "flat.onnx", ("N", "H", "W"), rank=3)
    write_depth_model(tmp_path / "double.onnx", dtype=TensorProto.DOUBLE)
    for name, message in {
        "none.onnx": "the depth model must be an ONNX file, got .*none.onnx: no such file",
        "text.onnx": "cannot be opened",
        "two.onnx": "must take one float image .* and give one map, it has pixels .*, depth0 .*, depth1",
        "grey.onnx": "must take one float image",
        "flat.onnx": "must take one float image",
        "double.onnx": "must take one float image",
    }.items():
        with pytest.raises(ValueError, match=message) as caught:
            OnnxNetwork(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_model_that_fails_or_gives_no_map_is_said_so(tmp_path: Path) -> None:
    fails = OnnxNetwork(write_depth_model(tmp_path / "fails.onnx", multiple=11), threads=1)
    with pytest.raises(ValueError, match=r"the model .*fails\.onnx failed on 686 x 518 pixels: [^\n]*$"):
        fails(ramp())
    wild = OnnxNetwork(write_depth_model(tmp_path / "wild.onnx", (1, 3, 28, 28), scale=float("nan")), threads=1)
    with pytest.raises(ValueError, match=r"must give a map \(1, H, W\) of finite floats, it gave \(1, 1, 28, 28\)"):
        wild(ramp())
    with pytest.raises(ValueError, match="photo must be"):
        fails(np.zeros((3, 3), np.int64))


@pytest.mark.parametrize(
    ("photo", "wanted"), [((60, 2400), "2072 x 56"), ((2400, 60), "56 x 2072"), ((60, 120), "1036 x 518")]
)
def test_panoramas_do_not_take_all_the_memory(tmp_path: Path, photo: tuple[int, int], wanted: str) -> None:
    model = OnnxNetwork(write_depth_model(tmp_path / "a.onnx", multiple=14), threads=1)
    assert model(ramp(*photo)).source == f"a.onnx at {wanted}"


def test_a_photo_that_a_fixed_size_squashes_is_told(tmp_path: Path) -> None:
    model = OnnxNetwork(write_depth_model(tmp_path / "a.onnx", (1, 3, 56, 56)), threads=1)
    with pytest.warns(UserWarning, match=r"a\.onnx sees the photo squashed to 56 x 56: its depth is coarse"):
        model(ramp(60, 240))


def network_of(path: Path, outputs: dict[str, list[int | str]], dtype: int = TensorProto.FLOAT) -> Path:
    """Write a network whose first output is the mean colour, and whose others are numbers of that shape."""
    image = helper.make_tensor_value_info("image", dtype, [1, 3, 28, 42])
    nodes = [helper.make_node("Cast", ["image"], ["values"], to=TensorProto.FLOAT)]
    made = []
    for name, shape in outputs.items():
        keep = len(shape) > 2
        axes = [1] if keep else [1, 2, 3]
        nodes.append(helper.make_node("ReduceMean", ["values", f"axes_{name}"], [name], keepdims=0))
        made.append((name, shape, axes))
    graph = helper.make_graph(
        nodes,
        "g",
        [image],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape, _ in made],
        [helper.make_tensor(f"axes_{name}", TensorProto.INT64, [len(axes)], axes) for name, _, axes in made],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def test_of_several_outputs_the_map_is_taken(tmp_path: Path) -> None:
    for outputs in (
        {"focal": [1], "predicted_depth": [1, 28, 42]},  # as Depth Pro has
        {"anything": [1, 28, 42], "focal": [1]},
        {"depth": [1, 28, 42], "confidence": [1, 28, 42], "normal": [1, 28, 42]},  # as Metric3D has
    ):
        depth = OnnxNetwork(network_of(tmp_path / "a.onnx", outputs), threads=1)(ramp())
        np.testing.assert_allclose(depth.disparity[30], np.linspace(-1, 1, 80), atol=0.1)
    with pytest.raises(ValueError, match="must take one float image"):
        OnnxNetwork(network_of(tmp_path / "b.onnx", {"a": [1, 28, 42], "b": [1, 28, 42]}), threads=1)


def test_a_network_of_bytes_gets_bytes(tmp_path: Path) -> None:
    path = network_of(tmp_path / "a.onnx", {"depth": [1, 28, 42]}, dtype=TensorProto.UINT8)
    depth = OnnxNetwork(path, threads=1)(ramp())
    np.testing.assert_allclose(depth.disparity[30], np.linspace(-1, 1, 80), atol=0.1)
