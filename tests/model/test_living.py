"""A living picture is one file with frames and depth inside, which asks nothing of anyone."""

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_model import PROPS, write_lens_models, write_model

from refocal.model.living import living_html
from refocal.model.refocuser import Refocuser

LENS = PROPS | {"analysis_side": "64"}


def photo_of(height: int = 40, width: int = 60) -> Any:
    pixels = np.random.default_rng(0).integers(60, 190, (height, width, 3), np.uint8)
    pixels[:, : width // 2, 0] = 255
    pixels[:, width // 2 :, 0] = 0
    return pixels


def inside_of(text: str) -> dict[str, Any]:
    found = re.search(r"const picture = (\{.*\});", text)
    assert found
    content: dict[str, Any] = json.loads(found[1])
    return content


def picture_of(url: str) -> Any:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))))


@pytest.fixture(scope="module")
def lens(tmp_path_factory: pytest.TempPathFactory) -> Refocuser:
    return Refocuser(write_lens_models(tmp_path_factory.mktemp("lens") / "lens.onnx", LENS))


def test_the_frames_go_from_far_to_near_and_the_depth_says_which_is_meant(lens: Refocuser) -> None:
    content = inside_of(living_html(lens, photo_of(), levels=5, aperture=200))
    frames = [picture_of(url).astype(float) for url in content["frames"]]
    assert [frame.shape for frame in frames] == [(40, 60, 3)] * 5
    means = [frame.mean() for frame in frames]  # the model adds focus - disparity
    assert means == sorted(means)
    depth = picture_of(content["depth"])
    assert depth[:, :28].min() > 240
    assert depth[:, 32:].max() < 15


def test_nothing_is_loaded_from_elsewhere(lens: Refocuser) -> None:
    text = living_html(lens, photo_of(), levels=3)
    assert "http:" not in text
    assert "https:" not in text
    assert "default-src 'none'; img-src data:" in text


def test_large_photos_become_small_enough_for_a_page(lens: Refocuser) -> None:
    content = inside_of(living_html(lens, photo_of(1000, 2000), levels=3))
    assert picture_of(content["frames"][0]).shape[:2] == (640, 1280)
    assert max(picture_of(content["depth"]).shape) == 320


def test_of_a_model_that_says_what_it_renders_with_the_photo_is_inside_and_frames_are_small(tmp_path: Path) -> None:
    told = {"levels": [[0, 1, 1]], "channels": 0, "aperture_scale": 8, "highlights": 1, "weights": "ADw="}
    lens = Refocuser(write_lens_models(tmp_path / "lens.onnx", LENS | {"renderer": json.dumps(told)}))
    photo = photo_of(500, 1000)
    content = inside_of(living_html(lens, photo, levels=3, aperture=100))
    assert content["renderer"] == told
    assert content["aperture"] == 100
    assert content["size"] == [1000, 500]
    assert np.abs(picture_of(content["photo"]).astype(float) - photo).mean() < 20  # noise, in WebP
    depth = picture_of(content["depth"])
    assert depth.shape == (500, 1000)
    assert depth[:, :480].min() > 230  # JPEG
    assert depth[:, 520:].max() < 25
    assert [picture_of(frame).shape for frame in content["frames"]] == [(240, 480, 3)] * 3
    # The photo of 1000 px is reduced to 480, and so is the aperture.
    plain = picture_of(content["frames"][1])[:, 250:].mean()  # disparity -1, focus 0: the model adds A / 1000
    assert plain == pytest.approx(photo[:, 510:].mean() + 255 * 0.048, abs=1)  # A in pixels of the frame


def test_a_title_is_text_and_never_code(lens: Refocuser) -> None:
    text = living_html(lens, photo_of(), levels=3, title="</title><script>alert(1)</script> $data")
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_a_given_disparity_is_the_depth_inside(lens: Refocuser) -> None:
    given = np.tile(np.linspace(0, 100, 60, dtype=np.float32), (40, 1))
    depth = picture_of(
        inside_of(living_html(lens, photo_of(), disparity=given, disparity_range=(0, 100), levels=3))["depth"]
    )
    assert (np.diff(depth[20].astype(int)) >= 0).mean() > 0.9
    assert depth[20, 2] < 30
    assert depth[20, -3] > 225


def test_a_model_without_disparity_gives_a_picture_with_a_slider_alone(tmp_path: Path) -> None:
    blind = Refocuser(write_model(tmp_path / "m.onnx", PROPS))
    assert inside_of(living_html(blind, photo_of(), levels=3))["depth"] is None
    with pytest.raises(ValueError, match="takes none"):
        living_html(blind, photo_of(), disparity=np.zeros((4, 4)), levels=3)


@pytest.mark.parametrize("levels", [2, 66, 0])
def test_levels_out_of_range_are_named(lens: Refocuser, levels: int) -> None:
    with pytest.raises(ValueError, match=f"levels must be 3 to 65, got {levels}"):
        living_html(lens, photo_of(), levels=levels)


def test_a_photo_that_is_too_narrow_is_named(lens: Refocuser) -> None:
    with pytest.raises(ValueError, match="too narrow for a living picture: 1 x 20000 px"):
        living_html(lens, photo_of(20000, 1), levels=3)
