"""A lens generator is exported whole and in halves, which belong together."""

import base64
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from refocal.inference.session import open_session
from refocal.learning.export import parity
from refocal.learning.export.export import digest_of, export
from refocal.learning.networks.lens import Lens, LensConfig
from refocal.learning.networks.renderer import LEVELS
from refocal.learning.networks.unet import UNet, UNetConfig
from refocal.model.refocuser import Refocuser

SCALE = 8.0
TINY = LensConfig(widths=(4, 6), blocks=(1, 1), planes=4, refiner=4)
ABOUT = {"aperture_fraction": 0.04, "aperture_range": [4, 12], "analysis_side": 40}
CPU = ("CPUExecutionProvider",)


def write(path: Path, name: str, network: nn.Module, config: LensConfig | UNetConfig) -> None:
    content = {"network": name, "config": asdict(config), "state": network.state_dict(), "aperture_scale": SCALE}
    torch.save(content | {"about": ABOUT}, path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with generator.pt and what is exported of it: lens.onnx and its halves."""
    folder = tmp_path_factory.mktemp("lens")
    torch.manual_seed(3)
    lens = Lens(TINY, SCALE).eval()
    for parameter in lens.parameters():  # the refiner must do something
        nn.init.normal_(parameter, std=0.3)
    write(folder / "generator.pt", "lens", lens, TINY)
    differences = export(folder / "generator.pt", folder / "lens.onnx")
    assert max(differences.values()) <= 1e-4
    assert {size.split()[0] for size in differences if " " in size} == {"analyse", "render"}
    return folder


def run(path: Path, feed: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    (made,) = open_session(path, threads=1, providers=CPU, require_gpu=False).run(None, feed)
    out: NDArray[np.float32] = made
    return out


def test_three_files_are_written_that_say_that_they_belong_together(folder: Path) -> None:
    names = ["lens.analyse.onnx", "lens.onnx", "lens.render.onnx"]
    assert sorted(path.name for path in folder.glob("*.onnx")) == names
    assert sorted(path.name for path in folder.iterdir()) == ["generator.pt", *names]
    said = [{p.key: p.value for p in onnx.load(folder / name).metadata_props} for name in names]
    state = torch.load(folder / "generator.pt", weights_only=True)["state"]
    assert {props["weights"] for props in said} == {digest_of(state)}
    assert {props["analysis_side"] for props in said} == {"40"}
    assert {props["network"] for props in said} == {"lens"}
    assert [props["size_multiple"] for props in said] == ["8", "8", "8"]
    assert [props["inputs"] for props in said] == ["photo", "photo focus aperture", "photo disparity focus aperture"]


@pytest.mark.parametrize("size", [(8, 8), (40, 56), (24, 72)])
def test_the_halves_one_after_the_other_are_the_whole(folder: Path, size: tuple[int, int]) -> None:
    """At sizes never traced, and for several photos at once."""
    photo = np.random.default_rng(1).random((2, 3, *size), dtype=np.float32)
    sigma = {"focus": np.array([-1, 0.4], np.float32), "aperture": np.array([6, 20], np.float32)}
    whole = run(folder / "lens.onnx", {"photo": photo, **sigma})
    disparity = run(folder / "lens.analyse.onnx", {"photo": photo})
    assert disparity.shape == (2, 1, *size)
    halves = run(folder / "lens.render.onnx", {"photo": photo, "disparity": disparity, **sigma})
    np.testing.assert_allclose(halves, whole, atol=1e-5)
    assert np.abs(whole - photo).max() > 0.05
    none = run(folder / "lens.onnx", {"photo": photo, **sigma, "aperture": np.zeros(2, np.float32)})
    np.testing.assert_allclose(none, photo, atol=1e-5)


@pytest.mark.parametrize("focus", [-1.0, 0.1, 1.0])
@pytest.mark.parametrize("aperture", [0.0, 3.0, 30.0, 90.0])
def test_the_half_that_renders_does_what_the_network_does_from_no_blur_to_the_widest(
    folder: Path, focus: float, aperture: float
) -> None:
    lens = Lens(TINY, SCALE).eval()
    lens.load_state_dict(torch.load(folder / "generator.pt", weights_only=True)["state"])
    random = np.random.default_rng(4)
    photo = random.random((1, 3, 48, 64), dtype=np.float32)
    disparity = random.uniform(-1, 1, (1, 1, 48, 64)).astype(np.float32)
    given = [torch.from_numpy(photo) * 2 - 1, torch.from_numpy(disparity), torch.tensor([[focus, aperture / SCALE]])]
    with torch.inference_mode():
        wanted = (lens.render(*given).numpy() + 1) / 2
    numbers = {"focus": np.full(1, focus, np.float32), "aperture": np.full(1, aperture, np.float32)}
    made = run(folder / "lens.render.onnx", {"photo": photo, "disparity": disparity, **numbers})
    np.testing.assert_allclose(made, wanted, atol=2e-5)


def test_tiles_give_what_the_whole_photo_gives(folder: Path) -> None:
    """From no blur to the widest, at sizes that the network's are no divisors of; near and far side by side."""
    random = np.random.default_rng(6)
    photo = random.random((184, 264, 3), dtype=np.float32)
    disparity = np.where(random.random((23, 33)) < 0.5, -0.9, 0.9).repeat(8, 0).repeat(8, 1).astype(np.float32)
    tiled = Refocuser(folder / "lens.onnx", tile=64, threads=2, providers=CPU)
    for aperture in (0.0, 2.0, 7.0, 18.0, 40.0, 50.0):
        feed = {"photo": photo.transpose(2, 0, 1)[None], "disparity": disparity[None, None]}
        numbers = {"focus": np.zeros(1, np.float32), "aperture": np.full(1, aperture, np.float32)}
        whole = run(folder / "lens.render.onnx", feed | numbers)[0].transpose(1, 2, 0)
        np.testing.assert_allclose(tiled.render(photo, disparity, 0, aperture), whole, atol=1e-5)


def test_a_picture_pays_only_for_the_blurs_that_it_holds(folder: Path, tmp_path: Path) -> None:
    """Convolutions are counted: three of the refiner, one for each group of blurs."""
    photo, focus = np.full((1, 3, 64, 64), 0.5, np.float32), np.zeros(1, np.float32)
    every = np.linspace(-1, 1, 64 * 64, dtype=np.float32).reshape(1, 1, 64, 64)
    counted = []
    for disparity, aperture in ((every, 0.0), (every, 2.0), (np.abs(every), 16.0), (every, 16.0), (every, 96.0)):
        options = onnxruntime.SessionOptions()
        options.enable_profiling, options.profile_file_prefix = True, str(tmp_path / "profile")
        session = onnxruntime.InferenceSession(folder / "lens.render.onnx", options, providers=CPU)
        given = {"photo": photo, "disparity": disparity, "focus": focus, "aperture": np.full(1, aperture, np.float32)}
        session.run(None, given)
        events = json.loads(Path(session.end_profiling()).read_text())
        counted.append(sum(e["args"].get("op_name") == "Conv" for e in events if e["name"].endswith("kernel_time")))
    assert counted == [3, 3 + 2, 3 + 2, 3 + 4, 3 + 8]


def test_the_front_door_takes_the_halves(folder: Path) -> None:
    """A photo no larger than what the network looks at comes out as by the whole."""
    refocuser = Refocuser(folder / "lens.onnx", providers=CPU)
    photo = np.random.default_rng(2).random((32, 48, 3), dtype=np.float32)
    assert refocuser.finds_depth
    feed = {"photo": photo.transpose(2, 0, 1)[None], "focus": np.ones(1, np.float32)}
    whole = run(folder / "lens.onnx", feed | {"aperture": np.full(1, 6, np.float32)})
    np.testing.assert_allclose(refocuser(photo, 1, 6), whole[0].transpose(1, 2, 0), atol=1e-5)
    assert refocuser(np.zeros((101, 67, 3), np.uint8), 0.5, disparity=np.eye(9)).shape == (101, 67, 3)


def test_old_halves_go_when_another_network_is_exported(folder: Path, tmp_path: Path) -> None:
    """Or when others take their place: no two files are ever of different weights."""
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    write(tmp_path / "generator.pt", "unet", UNet(UNetConfig(num_downs=2, ngf=4)).eval(), UNetConfig(2, 4))
    export(tmp_path / "generator.pt", tmp_path / "lens.onnx")
    assert [path.name for path in tmp_path.glob("*.onnx")] == ["lens.onnx"]
    assert not Refocuser(tmp_path / "lens.onnx", providers=CPU).finds_depth


def test_a_half_that_differs_leaves_all_three_as_they_were(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written is what the fixture exported: tracing again would take most of a minute."""

    def copied(part: parity.Part, path: Path, *_: object) -> None:
        path.write_bytes((folder / path.name.removeprefix(".").removesuffix(".partial")).read_bytes())

    def differs(part: parity.Part, path: Path) -> dict[str, float]:
        return {"8x8": 0.5 if part.inputs[1:2] == ("disparity",) else 0.0}

    monkeypatch.setattr("refocal.learning.export.export.write", copied)
    monkeypatch.setattr("refocal.learning.export.export.parity", differs)
    for name in ("lens.onnx", "lens.analyse.onnx"):
        (tmp_path / name).write_bytes(name.encode())
    with pytest.raises(ValueError, match=r"differs from torch by 0.5 at render 8x8 pixels"):
        export(folder / "generator.pt", tmp_path / "lens.onnx")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        name: name.encode() for name in ("lens.onnx", "lens.analyse.onnx")
    }


def test_the_half_that_renders_says_what_another_implementation_needs(folder: Path) -> None:
    """Disks of every level, then the refiner, as float16; `model/lens.js` renders with it."""
    about = {p.key: p.value for p in onnx.load(folder / "lens.render.onnx").metadata_props}
    told = json.loads(about["renderer"])
    assert (told["channels"], told["aperture_scale"], told["highlights"]) == (TINY.refiner, SCALE, 1)
    assert [level for level, *_ in told["levels"]] == list(LEVELS)
    values = np.frombuffer(base64.b64decode(told["weights"]), "<f2")
    sides = [side for *_, side in told["levels"]]
    starts = np.cumsum([0, *(side * side for side in sides)])
    for start, side in zip(starts, sides, strict=False):
        assert values[start : start + side**2].sum() == pytest.approx(1, abs=1e-3)
    state = torch.load(folder / "generator.pt", weights_only=True)["state"]
    refiner = [value for name, value in state.items() if name.startswith("refiner")]
    wanted = np.concatenate([value.numpy().ravel() for value in refiner])
    np.testing.assert_allclose(values[starts[-1] :], wanted, rtol=1e-3, atol=1e-6)
    assert "renderer" not in {p.key for p in onnx.load(folder / "lens.analyse.onnx").metadata_props}
