"""The exported file is the generator, with its conventions inside, and nothing of the place where it was made."""

import json
import re
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import refocal
from refocal.inference.session import open_session
from refocal.learning.export import export as exporting
from refocal.learning.export.export import digest_of, export
from refocal.learning.networks.deblur import Deblur, DeblurConfig
from refocal.learning.networks.unet import UNet, UNetConfig
from refocal.model.refocuser import Refocuser

SCALE = 8.0  # pixels of aperture that the network knows as 1
ABOUT = {
    "aperture_fraction": 0.04,
    "aperture_range": [4, 12],
    "training_data": {"source": "abc", "scenes": 3, "levels": [-1, 1], "images": 96},
}
CPU = ("CPUExecutionProvider",)


@dataclass(frozen=True)
class Exported:
    generator: UNet
    checkpoint: Path
    path: Path
    differences: dict[str, float]
    bytes: bytes


def write_generator(path: Path, config: UNetConfig) -> UNet:
    """Write what training would, with weights that leave no part of the network silent."""
    torch.manual_seed(7)
    network = UNet(config).eval()
    for name, values in network.state_dict().items():
        if values.dim() > 1:
            nn.init.kaiming_normal_(values)
        elif "running_var" in name:
            values.uniform_(0.5, 1.5)
        elif values.is_floating_point():
            values.normal_(0.5 if name.endswith("weight") else 0, 0.2)
    nn.init.normal_(network.sigma[-1].weight)  # type: ignore[arg-type]
    content = {"network": "unet", "config": asdict(config), "state": network.state_dict(), "aperture_scale": SCALE}
    torch.save(content | {"about": ABOUT}, path)
    return network


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("exported")
    checkpoint, path = folder / "generator.pt", folder / "models" / "refocal.onnx"
    generator = write_generator(checkpoint, UNetConfig(num_downs=3, ngf=4))
    differences = export(checkpoint, path, opset=20, tolerance=1e-4)
    return Exported(generator, checkpoint, path, differences, path.read_bytes())


def by_torch(generator: UNet, photo: np.ndarray, focus: list[float], aperture: list[float]) -> np.ndarray:
    """Refocus (N, 3, H, W) in [0, 1] with the bare network: the conventions are written out here once more."""
    sigma = torch.tensor([focus, np.divide(aperture, SCALE).tolist()]).T.float()
    with torch.no_grad():
        refocused: np.ndarray = ((generator(torch.from_numpy(photo) * 2 - 1, sigma) + 1) / 2).numpy()
    return refocused


def run(path: Path, photo: np.ndarray, focus: list[float], aperture: list[float]) -> np.ndarray:
    session = open_session(path, threads=1, providers=CPU, require_gpu=False)
    sigma = {"focus": np.array(focus, np.float32), "aperture": np.array(aperture, np.float32)}
    refocused: np.ndarray = session.run(["refocused"], {"photo": photo, **sigma})[0]
    return refocused


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 40, 56), (2, 16, 8), (3, 72, 24)], ids=str)
def test_it_does_what_the_network_does_at_sizes_and_batches_never_traced(
    exported: Exported, shape: tuple[int, int, int]
) -> None:
    """Outside it is sRGB in [0, 1] and apertures in pixels, inside what the network knows."""
    batch, height, width = shape
    photo = np.random.default_rng(1).random((batch, 3, height, width), dtype=np.float32)
    focus, aperture = [-1.0, 0.3, 1.0][:batch], [4.0, 8.0, 15.0][:batch]
    ours = run(exported.path, photo, focus, aperture)
    np.testing.assert_allclose(ours, by_torch(exported.generator, photo, focus, aperture), atol=1e-5)
    assert ours.std() > 0.02  # it says something
    for other in (run(exported.path, photo, [0.9] * batch, aperture), run(exported.path, photo, focus, [1.0] * batch)):
        assert np.abs(other - ours).max() > 1e-3  # and listens to focus and aperture


def test_parity_is_checked_at_three_sizes_one_of_them_odd(exported: Exported) -> None:
    sizes = [tuple(map(int, size.split("x"))) for size in exported.differences]
    assert len(sizes) >= 3
    assert any(height % 2 and width % 2 for height, width in sizes)
    assert any(height > width for height, width in sizes)
    assert max(exported.differences.values()) < 1e-5


def test_the_front_door_takes_it_at_any_size(exported: Exported) -> None:
    refocuser = Refocuser(exported.path, providers=CPU)
    photo = np.random.default_rng(2).random((21, 34, 3), dtype=np.float32)
    assert refocuser(photo, focus=0.5, aperture=6.0).shape == photo.shape
    assert refocuser.aperture_for(300, 400) == pytest.approx(0.04 * 400)


def test_it_says_what_it_is(exported: Exported) -> None:
    model = onnx.load(exported.path)
    props = {prop.key: prop.value for prop in model.metadata_props}
    assert list(props) == sorted(props)
    assert json.loads(props.pop("config")) == {"num_downs": 3, "ngf": 4, "upsampling": "resize", "residual": False}
    assert json.loads(props.pop("training_data")) == ABOUT["training_data"]
    assert props == {
        "refocal_version": refocal.__version__,
        "network": "unet",
        "inputs": "photo focus aperture",
        "size_multiple": "8",
        "focus_range": "-1 1",
        "colour": "sRGB [0,1]",
        "aperture_fraction": "0.04",
        "aperture_range": "4.0 12.0",
        "analysis_side": "0",
        "weights": digest_of(exported.generator.state_dict()),
        "metrics": "{}",
    }
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 20)]
    shapes = {
        value.name: [side.dim_param or side.dim_value for side in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    image = ["N", 3, "H", "W"]
    assert shapes == {"photo": image, "focus": ["N"], "aperture": ["N"], "refocused": image}


def test_its_weights_are_inside_and_no_path_of_this_machine_is(exported: Exported) -> None:
    model = onnx.load(exported.path, load_external_data=False)
    assert not any(tensor.HasField("data_location") and tensor.data_location for tensor in model.graph.initializer)
    assert [path.name for path in exported.path.parent.iterdir()] == ["refocal.onnx"]
    for trace in (str(Path.cwd()), str(Path.home()), str(exported.path.parent), sys.prefix, "site-packages", 'File "'):
        assert trace.encode() not in exported.bytes, trace
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)


@pytest.mark.slow
def test_the_stage_gives_the_same_bytes_in_another_process_and_folder(exported: Exported, tmp_path: Path) -> None:
    """And it says one line: what the exporter has to tell of its inner workings is no one's concern."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "generator.pt").write_bytes(exported.checkpoint.read_bytes())
    small = DeblurConfig(widths=(4, 6), blocks=(1, 1))
    weights = {"network": "deblur", "config": asdict(small), "state": Deblur(small).state_dict(), "aperture_scale": 1.0}
    torch.save(weights | {"about": ABOUT}, tmp_path / "models" / "deblur.pt")
    (tmp_path / "params.yaml").write_text("export: {opset: 20, tolerance: 1.0e-4}\n")
    command = [sys.executable, "-m", "refocal.stages.export"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (tmp_path / "models" / "refocal.onnx").read_bytes() == exported.bytes
    halves = [tmp_path / "models" / f"refocal.{half}.onnx" for half in ("analyse", "render")]
    assert [half.read_bytes() for half in halves] == [b"", b""]  # DVC wants all outputs; a U-Net has no halves
    assert Refocuser(tmp_path / "models" / "refocal.onnx", providers=CPU).deblurring is not None
    line = r"models/refocal{}.onnx: \d\.\d MB, largest difference from torch .+\n"
    assert re.fullmatch(line.format("") + line.format(".deblur"), done.stdout)
    assert done.stderr == ""


def test_transposed_and_residual_networks_come_out_alike(tmp_path: Path) -> None:
    checkpoint, path = tmp_path / "generator.pt", tmp_path / "refocal.onnx"
    generator = write_generator(checkpoint, UNetConfig(num_downs=2, ngf=4, upsampling="transposed", residual=True))
    assert max(export(checkpoint, path, metrics={"psnr": 30.5}).values()) < 1e-5
    photo = np.random.default_rng(1).random((1, 3, 12, 20), dtype=np.float32)
    np.testing.assert_allclose(run(path, photo, [0.5], [5.0]), by_torch(generator, photo, [0.5], [5.0]), atol=1e-5)
    assert Refocuser(path, providers=CPU).metadata["metrics"] == '{"psnr": 30.5}'


@pytest.mark.parametrize("before", [None, b"an older model"])
@pytest.mark.parametrize("tensor", ["generator.downs.0.0.weight", "generator.sigma.0.weight"])
def test_a_file_that_differs_from_torch_is_never_left(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tensor: str, before: bytes | None
) -> None:
    """A weight that is off is found, of those that only sigma passes through too."""

    def broken(*_: Any, **__: Any) -> onnx.ModelProto:
        model = onnx.load(exported.path)
        model.ClearField("metadata_props")
        (found,) = (value for value in model.graph.initializer if value.name == tensor)
        weights = onnx.numpy_helper.to_array(found) + np.float32(0.1)
        found.CopyFrom(onnx.numpy_helper.from_array(weights, tensor))
        return model

    monkeypatch.setattr(exporting, "to_onnx", broken)
    path = tmp_path / "refocal.onnx"
    if before:
        path.write_bytes(before)
    with pytest.raises(ValueError, match=r"differs from torch by .* at \d+x\d+ pixels, export.tolerance allows 0.0001"):
        export(exported.checkpoint, path)
    assert [found.read_bytes() for found in tmp_path.iterdir()] == ([before] if before else [])


def test_a_generator_that_is_missing_or_damaged_gives_one_line(exported: Exported, tmp_path: Path) -> None:
    output = tmp_path / "refocal.onnx"
    with pytest.raises(ValueError, match=r"^no generator at .*nowhere.pt: run the stage train$"):
        export(tmp_path / "nowhere.pt", output)
    content = torch.load(exported.checkpoint, weights_only=True)
    damaged = {
        "truncated": exported.checkpoint.read_bytes()[:1000],
        "config": content | {"config": {"num_downs": 3, "depth": 4}},
        "state": content | {"state": {}},
        "aperture_fraction": content | {"about": {"aperture_range": [4, 12]}},
        "aperture_range": content | {"about": {"aperture_fraction": 1, "aperture_range": [4]}},
    }
    for name, kept in damaged.items():
        path = tmp_path / f"{name}.pt"
        if isinstance(kept, bytes):
            path.write_bytes(kept)
        else:
            torch.save(kept, path)
        with pytest.raises(ValueError, match=rf"{name}.pt is not a generator that refocal wrote \(.+\)$") as error:
            export(path, output)
        assert "\n" not in str(error.value)
    assert not output.exists()
