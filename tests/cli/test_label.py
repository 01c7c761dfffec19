"""`refocal label` writes RGB-D pairs that the pipeline prepares, resumes, and leaves bad photos out."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_depth import ramp, write_depth_model

from refocal.scenes.sources import list_sources

Run = Callable[[str], tuple[int, str, str]]
LINE = "refocal label photos -o data/mine --depth-model net.onnx --depth-preset midas-release --depth-size 64"


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_depth_model(tmp_path / "net.onnx")
    (tmp_path / "photos" / "trip").mkdir(parents=True)
    Image.fromarray(ramp(90, 120)).save("photos/a.png")
    Image.fromarray(ramp(90, 120)[:, ::-1]).save("photos/trip/b.jpg")
    (tmp_path / "photos" / "bad.jpg").write_bytes(b"no photo")
    (tmp_path / "photos" / "notes.txt").write_text("none either")
    return tmp_path


def test_pairs_are_what_the_pipeline_trains_on(photos: Path, run: Run) -> None:
    code, out, err = run(LINE)
    assert (code, out) == (0, "data/mine: 2 pairs written, 0 were there, 1 photos left out\n")
    assert err.startswith("left out photos/bad.jpg: ")
    assert {name: source.kind for name, source in list_sources(photos / "data").items()} == {
        "mine_a": "rgbd",
        "mine_trip_b": "rgbd",
    }
    for name, sign in (("a", 1), ("trip_b", -1)):
        disparity = np.asarray(Image.open(f"data/mine/disparity/{name}.png"))
        assert (disparity.dtype, disparity.shape) == (np.uint16, (90, 120))
        assert disparity.min() > 0  # 0 would be unknown
        assert np.corrcoef(disparity.mean(0), np.arange(120))[0, 1] * sign > 0.95


def test_a_stopped_run_goes_on_and_keeps_what_is_there(photos: Path, run: Run) -> None:
    run(LINE)
    kept = (photos / "data/mine/disparity/a.png").stat().st_mtime_ns
    (photos / "data/mine/disparity/trip_b.png").unlink()  # stopped between photo and disparity
    assert run(LINE)[1] == "data/mine: 1 pairs written, 1 were there, 1 photos left out\n"
    assert (photos / "data/mine/disparity/a.png").stat().st_mtime_ns == kept


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("refocal label nowhere -o out --depth-model net.onnx", "nowhere: there is no such file or folder"),
        ("refocal label photos/notes.txt -o out --depth-model net.onnx", "no photos in photos/notes.txt"),
        ("refocal label photos/bad.jpg -o out --depth-model net.onnx", "none of the photos could be labelled"),
        ("refocal label photos -o out --depth-model other.onnx", "--depth-model other.onnx: no such file"),
        ("refocal label photos photos/a.png -o out --depth-model net.onnx", "would both become a"),
    ],
)
def test_what_cannot_be_labelled_is_said_in_one_line(photos: Path, run: Run, line: str, message: str) -> None:
    code, _, err = run(line)
    assert code == 2
    assert message in err.splitlines()[-1]
