"""Reports: means over scenes with honest intervals, paired differences, seen and unseen levels apart."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refocal.evaluation.report import by_focus, by_scene, interval, main, rank, report, summarise, tables
from refocal.evaluation.scores import LEVEL_SCORES, SCENE_SCORES, SCORES, SceneScores, Scores

FOCUS, TRAINED = (-1.0, 0.0, 1.0), (True, False, True)


def level(value: float) -> Scores:
    return {score: None if score == "ms_ssim" else value for score in LEVEL_SCORES}


def scene(name: str, **methods: float) -> SceneScores:
    """Make a scene whose methods score `value` at the levels seen and 1 more in between."""
    levels = {method: (level(value - 1), level(value + 1), level(value + 1)) for method, value in methods.items()}
    whole: dict[str, Scores] = {method: dict.fromkeys(SCENE_SCORES, value / 100) for method, value in methods.items()}
    return SceneScores(name, FOCUS, TRAINED, levels, whole)


@pytest.fixture
def scenes() -> list[SceneScores]:
    """Four scenes, hard and easy: ours is always 1 to 2 above the Gaussian, far less than scenes differ."""
    gaussian = (20.0, 30.0, 40.0, 25.0)
    gains = (1.0, 1.5, 2.0, 1.5)
    return [
        scene(f"s{k}", refocal=base + gain, gaussian=base, oracle=base + 6)
        for k, (base, gain) in enumerate(zip(gaussian, gains, strict=True))
    ]


def make(scenes: list[SceneScores]) -> dict[str, Any]:
    return report(scenes, ours="refocal", resamples=1000, seed=0)


def test_intervals_hold_the_mean_and_are_reproducible() -> None:
    values = [3.0, 5.0, 4.0, 9.0, 1.0]
    low, high = interval(values, resamples=2000, seed=0)
    assert 1 < low < np.mean(values) < high < 9
    assert (low, high) == interval(values, resamples=2000, seed=0) != interval(values, resamples=2000, seed=1)
    shifted = interval([value + 10 for value in values], resamples=2000, seed=0)
    assert shifted == pytest.approx((low + 10, high + 10))


def test_intervals_cover_the_true_mean_about_as_often_as_they_say() -> None:
    random = np.random.default_rng(0)
    samples = random.exponential(size=(300, 40))
    hits = [low <= 1 <= high for low, high in (interval(sample, resamples=400, seed=1) for sample in samples)]
    assert 0.88 < np.mean(hits) < 0.98


def test_one_scene_has_no_interval_and_none_no_mean() -> None:
    options = {"digits": 2, "resamples": 100, "seed": 0}
    assert summarise([1.234], **options) == {"mean": 1.23, "low": None, "high": None}
    assert summarise([None, None], **options) == {"mean": None, "low": None, "high": None}
    assert summarise([None, 1.0, 3.0], **options)["mean"] == 2
    assert str(summarise([-0.0001], **options)["mean"]) == "0.0"


def test_levels_trained_on_and_in_between_are_reported_apart(scenes: list[SceneScores]) -> None:
    part = make(scenes)
    assert part["n"] == 4
    assert part["refocal"]["psnr"]["mean"] == pytest.approx(30.25)
    assert part["refocal"]["unseen"]["psnr"]["mean"] == pytest.approx(31.25)
    assert part["refocal"]["control_r"]["mean"] == pytest.approx(0.3025)
    assert part["refocal"]["ms_ssim"] == {"mean": None, "low": None, "high": None}
    assert set(part["refocal"]) == {*SCORES, "unseen"}
    assert set(part["refocal"]["unseen"]) == set(LEVEL_SCORES)
    assert part["paired"]["unseen-seen"]["psnr"] == {"mean": 1, "low": 1, "high": 1}


def test_a_difference_is_taken_scene_by_scene(scenes: list[SceneScores]) -> None:
    """Scenes differ by 20 dB and the methods by 1 to 2: only pairing can tell them apart."""
    part = make(scenes)
    pair = part["paired"]["refocal-gaussian"]["psnr"]
    assert pair["mean"] == pytest.approx(1.5)
    assert 1 <= pair["low"] < 1.5 < pair["high"] <= 2
    assert part["refocal"]["psnr"]["low"] < part["gaussian"]["psnr"]["high"]
    assert set(part["paired"]) == {"refocal-gaussian", "refocal-oracle", "unseen-seen"}


def test_the_way_from_gaussian_to_oracle(scenes: list[SceneScores]) -> None:
    assert make(scenes)["gap_closed"] == {"psnr": 0.25, "ssim": 0.25, "defocus_r": 0.25}
    assert make([scene("a", refocal=2.0, gaussian=3.0, oracle=3.0)])["gap_closed"]["psnr"] is None
    assert make([scene("a", refocal=2.0)])["gap_closed"]["psnr"] is None


def test_the_gap_closed_is_a_dash_where_the_oracle_is_not_surely_ahead() -> None:
    """A difference about 0 would make any percentage of it."""
    even = [
        scene(name, refocal=2.0, gaussian=3.0, oracle=oracle)
        for name, oracle in zip("abc", (2.9, 3.2, 2.95), strict=True)
    ]
    part = make(even)
    assert part["gap_closed"]["psnr"] is None
    assert "that is closed: psnr -, ssim -" in tables({"test": part})
    sure = [
        scene(name, refocal=3.5, gaussian=3.0, oracle=oracle)
        for name, oracle in zip("abc", (3.9, 4.2, 3.9), strict=True)
    ]
    assert make(sure)["gap_closed"]["psnr"] == pytest.approx(0.5)


def test_scenes_are_ranked_by_score(scenes: list[SceneScores]) -> None:
    found = rank(scenes, "refocal", "ssim")
    assert {place: scene.scene for place, scene in found.items()} == {"best": "s2", "median": "s3", "worst": "s0"}
    assert {scene.scene for scene in rank(scenes[:1], "refocal", "ssim").values()} == {"s0"}
    assert rank(scenes, "refocal", "ms_ssim") == {}


def test_plots_hold_a_row_a_level_and_a_row_a_scene(scenes: list[SceneScores]) -> None:
    table = by_focus(scenes)["psnr"].splitlines()
    assert table[:3] == ["focus,refocal,gaussian,oracle", "-1,29.250,27.750,33.750", "0,31.250,29.750,35.750"]
    rows = [line.split(",") for line in by_scene(scenes).splitlines()]
    assert rows[0][:4] == ["scene", "method", "psnr", "ssim"]
    assert rows[1][:5] == ["s0", "refocal", "21.000", "21.0000", ""]
    assert len(rows) == 1 + 4 * 3
    assert len({len(row) for row in rows}) == 1


def test_tables_show_n_intervals_and_verdicts(scenes: list[SceneScores]) -> None:
    text = tables(json.loads(json.dumps({"test": make(scenes)})))
    lines = {line.split("|")[1].strip(): line for line in reversed(text.splitlines()) if line.startswith("|")}
    assert "mean over 4 scenes" in text
    assert lines["psnr"].split("|")[2].strip().startswith("30.25 (")
    assert "+1.500 (" in text
    paired = next(line for line in text.split("excludes 0")[1].splitlines() if line.startswith("| psnr"))
    assert paired.split("|")[2].strip().endswith(") *")
    assert lines["lpips"].count("not computed") == 3
    assert "unseen psnr" in lines
    assert "psnr 25%" in text
    assert len({len(line) for line in text.splitlines() if line.startswith("| ssim")}) <= 2


def test_one_scene_is_shown_without_interval_or_verdict() -> None:
    text = tables({"test": make([scene("a", refocal=2.0, gaussian=1.0)])})
    assert " (" not in "".join(line for line in text.splitlines() if line.startswith("|"))
    assert "*" not in text.split("excludes 0")[1]


def test_the_door_prints_or_says_what_is_wrong(
    scenes: list[SceneScores], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "metrics.json"
    assert main([str(path)]) == 2
    path.write_text("{")
    assert main([str(path)]) == 2
    path.write_text('{"test": {"n": 1}}')
    assert main([str(path)]) == 2
    assert main([]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 4
    path.write_text(json.dumps({"test": make(scenes)}))
    assert main([str(path)]) == 0
    assert "### test" in capsys.readouterr().out
