"""One slice alone: its ends are judged on what they were made of, beside doing nothing and the best deconvolution."""

from pathlib import Path

import numpy as np
import pytest
from layered_scene import write_layered_scenes
from scipy.ndimage import convolve
from tiny_model import PROPS, write_deblur_model, write_lens_models

from refocal.evaluation import from_slice as judged
from refocal.evaluation import metrics, scores
from refocal.evaluation.from_slice import SCORES, best_disk, from_slice
from refocal.evaluation.report import tables
from refocal.model.refocuser import Refocuser
from refocal.scenes.scene import Scene

WEIGHTS = PROPS | {"weights": "abc", "blur_limit": "1000"}
OPTIONS = {"resamples": 100, "seed": 0}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Scene]:
    return write_layered_scenes(tmp_path_factory.mktemp("scenes"), {"a": "test", "b": "test"})


def refocuser_of(folder: Path, gain: float | None) -> Refocuser:
    model = write_lens_models(folder / "lens.onnx", WEIGHTS)
    if gain is not None:
        write_deblur_model(model, gain=gain)
    return Refocuser(model, threads=1)


def test_a_generator_that_changes_nothing_scores_as_doing_nothing(
    scenes: list[Scene], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judged, "best_disk", lambda given, *_: (given, given))
    found = from_slice(refocuser_of(tmp_path, 1.0), scenes, **OPTIONS)
    assert found["n"] == 2
    whole = found["all_in_focus"]
    assert set(whole) == {"slice", "wiener", "unsupervised wiener", "deblurred", "paired"}
    for score in SCORES:
        assert whole["deblurred"][score] == whole["slice"][score]
        assert whole["paired"]["deblurred-slice"][score]["mean"] == 0
        assert found["refocused"]["paired"]["deblurred-refocal"][score]["mean"] == 0
    worst, best = whole["slice"]["out_of_focus_psnr"]["mean"], whole["slice"]["in_focus_psnr"]["mean"]
    assert worst < best  # the sharp third of the slice is like the photo, the other is not


def test_every_number_is_that_of_the_pictures_it_names(
    scenes: list[Scene], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nearest and farthest slice, the mean of both; of the other levels, none is the one that was given."""
    monkeypatch.setattr(judged, "best_disk", lambda given, *_: (given, given))
    scene, refocuser = scenes[0], refocuser_of(tmp_path, 0.9)
    found = from_slice(refocuser, [scene], **OPTIONS)
    photo, stack, border = np.array(scene.photo()), np.array(scene.stack()), scene.border
    inside = slice(border, -border or None)
    wanted: dict[str, list[float]] = {"all": [], "levels": [], "idle": []}
    for end in (0, len(stack) - 1):
        sharp = refocuser.deblurred(stack[end], "always")
        wanted["all"].append(metrics.psnr(sharp[inside, inside], photo[inside, inside]))
        others = [level for level in range(len(stack)) if level != end]
        for name, picture in (("levels", sharp), ("idle", stack[end])):
            disparity = refocuser.analyse(picture)
            made = [refocuser.render(picture, disparity, scene.focus[k], scene.lens_aperture) for k in others]
            pairs = zip(made, stack[others], strict=True)
            wanted[name].append(np.mean([metrics.psnr(a[inside, inside], b[inside, inside]) for a, b in pairs]))
    means = {name: float(np.mean(values)) for name, values in wanted.items()}
    assert found["all_in_focus"]["deblurred"]["psnr"]["mean"] == pytest.approx(means["all"], abs=1e-3)
    assert found["refocused"]["deblurred"]["psnr"]["mean"] == pytest.approx(means["levels"], abs=1e-3)
    assert found["refocused"]["refocal"]["psnr"]["mean"] == pytest.approx(means["idle"], abs=1e-3)


def test_deconvolution_gets_the_disk_that_fits(scenes: list[Scene]) -> None:
    scene = scenes[0]
    photo = np.array(scene.photo())
    disk = judged._disk(0.2 * scene.lens_aperture)
    soft = np.stack([convolve(photo[..., c].astype(float), disk, mode="reflect") for c in range(3)], -1)
    given = np.rint(soft).astype(np.uint8)
    sharp, alone = best_disk(given, photo, scene)
    assert metrics.psnr(sharp, photo) > metrics.psnr(given, photo) + 1
    assert alone.shape == photo.shape
    assert alone.dtype == np.uint8


def test_a_model_that_cannot_deblur_is_not_judged(scenes: list[Scene], tmp_path: Path) -> None:
    assert from_slice(refocuser_of(tmp_path, None), scenes, **OPTIONS) == {}


def test_the_tables_show_both_tasks(scenes: list[Scene], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judged, "best_disk", lambda given, *_: (given, given))
    found = from_slice(refocuser_of(tmp_path, 0.9), scenes, **OPTIONS)
    score = {"mean": 1.0, "low": None, "high": None}
    method = dict.fromkeys(scores.SCORES, score) | {"unseen": dict.fromkeys(scores.LEVEL_SCORES, score)}
    text = tables({"test": {"n": 2, "refocal": method, "paired": {}, "gap_closed": {}, "from_slice": found}})
    assert "#### test, from the nearest or the farthest slice alone: mean over 2 scenes" in text
    assert "| all in focus" in text
    assert "| refocused" in text
    assert "deblurred - refocal" in text
