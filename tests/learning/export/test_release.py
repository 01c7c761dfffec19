"""Released weights are half as large, can be trained on, and compute the same pictures."""

from pathlib import Path

import numpy as np
import pytest
import torch

from refocal.inference.session import open_session, run
from refocal.learning.export import export
from refocal.learning.export.export import load_generator
from refocal.learning.export.release import release
from refocal.learning.export.wrappers import Part, WholeModel
from refocal.learning.networks.lens import Lens, LensConfig


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a generator as training writes it."""
    torch.manual_seed(0)
    config = LensConfig(widths=(16, 48), blocks=(1, 1), planes=8, refiner=4)
    path = tmp_path_factory.mktemp("trained") / "generator.pt"
    about = {"aperture_fraction": 0.02, "aperture_range": [4.0, 9.0], "analysis_side": 64}
    content = {"network": "lens", "config": vars(config), "state": Lens(config, 8.0).state_dict()}
    torch.save(content | {"aperture_scale": 8.0, "about": about}, path)
    return path


def test_a_release_computes_what_was_trained_from_files_of_half_the_size(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files agree with torch to float precision: rounding came before, not between.

    Without the half that renders, which has no weights to round but the refiner's and takes longest to trace.
    """
    everything = export.parts_of

    def some(model: WholeModel) -> dict[str, Part]:
        return {name: part for name, part in everything(model).items() if name != "render"}

    monkeypatch.setattr(export, "parts_of", some)
    differences = release(trained, tmp_path / "pretrained")
    assert max(differences.values()) < 1e-5
    given, weights = tmp_path / "pretrained" / "generator.pt", sum(v.numel() for v in load(trained).values())
    for name in ("generator.pt", "refocal.onnx", "refocal.analyse.onnx"):
        assert (tmp_path / "pretrained" / name).stat().st_size < 2 * weights + 150_000, name
    assert all(torch.equal(load(given)[name], value.half()) for name, value in load(trained).items())
    photo = np.random.default_rng(0).random((64, 96, 3), np.float32)
    session = open_session(tmp_path / "pretrained/refocal.analyse.onnx", threads=1, providers=None, require_gpu=False)
    ours = run(session, photo)
    whole, _ = load_generator(trained)
    assert isinstance(whole.generator, Lens)
    with torch.no_grad():
        wanted = whole.generator.analyse(torch.from_numpy(photo).permute(2, 0, 1)[None] * 2 - 1)[0, 0].numpy()
    assert np.abs(ours - wanted).mean() < 0.01


def load(path: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["state"]
    return state


def test_what_cannot_be_released_is_said_in_one_line(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no generator at .*nowhere.pt: run the stage train"):
        release(tmp_path / "nowhere.pt", tmp_path)
    (tmp_path / "torn.pt").write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"torn.pt is not a generator that refocal wrote"):
        release(tmp_path / "torn.pt", tmp_path)
    content = torch.load(trained, weights_only=True)
    name = next(iter(content["state"]))
    content["state"][name] = content["state"][name] + 1e6
    torch.save(content, tmp_path / "large.pt")
    with pytest.raises(ValueError, match=f"{name} holds values beyond 65504"):
        release(tmp_path / "large.pt", tmp_path / "out")
    assert not (tmp_path / "out").exists()
