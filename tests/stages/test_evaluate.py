"""Stage evaluate: prepared scenes and exported models to metrics, plots and pictures."""

import json
from pathlib import Path
from typing import Any

import pytest
from layered_scene import write_layered_scenes
from tiny_model import PROPS, write_model

from refocal.evaluation.report import tables
from refocal.images.image import read_image
from refocal.stages.evaluate import main

SPLITS = {"a": "train", "b": "train", "c": "validation", "d": "test", "e": "test"}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Enter a folder with scenes of every part, a model and parameters."""
    monkeypatch.chdir(tmp_path)
    write_layered_scenes(tmp_path / "scenes", SPLITS)
    (tmp_path / "models").mkdir()
    write_model(tmp_path / "models" / "refocal.onnx", PROPS)
    (tmp_path / "params.yaml").write_text("evaluate: {bootstrap: 200, threads: 1}")
    return tmp_path


def outputs(place: Path) -> dict[str, bytes]:
    names = [place / "metrics.json", *sorted((place / "plots").iterdir()), *sorted((place / "pictures").iterdir())]
    return {str(path.relative_to(place)): path.read_bytes() for path in names}


def test_the_stage_writes_scores_plots_and_pictures_the_same_every_time(place: Path) -> None:
    write_model(place / "models" / "original.onnx", PROPS, gain=0.9)
    main()
    first = outputs(place)
    assert set(first) == {
        "metrics.json",
        *(
            f"plots/{split}_{name}.csv"
            for split in ("test", "validation")
            for name in ("psnr", "ssim", "defocus_r", "by_scene")
        ),
        *(f"pictures/{split}_{name}.png" for split in ("test", "validation") for name in ("best", "median", "worst")),
    }
    metrics: dict[str, Any] = json.loads(first["metrics.json"])
    assert {part: metrics[part]["n"] for part in metrics} == {"validation": 1, "test": 2}
    test = metrics["test"]
    assert set(test) == {"n", "refocal", "original", "identity", "gaussian", "oracle", "paired", "gap_closed"}
    assert test["identity"]["defocus_r"]["mean"] == 0
    assert test["oracle"]["psnr"]["mean"] > test["gaussian"]["psnr"]["mean"] + 5
    assert test["refocal"]["psnr"]["mean"] > test["original"]["psnr"]["mean"]  # which darkens
    assert metrics["validation"]["oracle"]["psnr"]["low"] is None
    assert "not computed" in tables(metrics)
    assert read_image(place / "pictures" / "test_best.png").pixels.shape[1] > 500
    (place / "pictures" / "left_over.png").write_bytes(b"")
    main()
    assert outputs(place) == first


def test_without_the_originals_model_its_row_is_left_out(place: Path) -> None:
    (place / "params.yaml").write_text("evaluate: {splits: [validation], bootstrap: 100, threads: 1}")
    main()
    metrics = json.loads((place / "metrics.json").read_text())
    assert list(metrics) == ["validation"]
    assert "original" not in metrics["validation"]


def test_what_is_measured_is_the_exported_file_at_the_scenes_aperture(place: Path) -> None:
    """The tiny model brightens by aperture / 1000: with another aperture the score would be another."""
    (place / "params.yaml").write_text("evaluate: {splits: [validation], bootstrap: 100, threads: 1}")
    write_model(place / "models" / "original.onnx", PROPS | {"aperture_fraction": "0.3"})
    main()
    scores = json.loads((place / "metrics.json").read_text())["validation"]
    assert scores["original"] == scores["refocal"]  # the default aperture of the file does not matter


def test_no_scene_to_evaluate_on_is_one_line_and_leaves_no_output(place: Path) -> None:
    write_layered_scenes(place / "scenes", dict.fromkeys("ab", "train"))
    with pytest.raises(ValueError, match="no scene of the parts validation, test"):
        main()
    assert not list(place.glob("metrics.json")) + list(place.glob(".*.partial"))
