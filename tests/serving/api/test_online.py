"""One photo: what POST /refocus, /sweep, /disparity, /views and /living answer."""

import base64
import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image, ImageCms
from scipy.ndimage import gaussian_filter
from service_worker import file_of, photo_of, pixels_of
from starlette.testclient import TestClient

from refocal.images.profiles import matrix_profile, to_srgb
from refocal.lightfields.lightfield import LightField, read_options
from refocal.model.deblurring import Deblurring
from refocal.model.refocuser import Refocuser
from refocal.serving.pipeline import pipeline

Client = TestClient


def post(client: Client, path: str, photo: bytes | None = None, **fields: Any) -> Any:
    files = {"photo": ("p.png", file_of() if photo is None else photo)}
    if "disparity" in fields:
        files["disparity"] = ("d.png", fields.pop("disparity"))
    return client.post(path, files=files, data={name: str(value) for name, value in fields.items()})


def test_refocus_gives_what_the_refocuser_gives(client: Client, lens_model: Path) -> None:
    answer = post(client, "/refocus", focus=0.3, aperture=2)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    expected = Refocuser(lens_model)(photo_of(), 0.3, 2)
    # The analysis is kept with 15 bits.
    assert np.abs(pixels_of(answer.content).astype(int) - expected).max() <= 1
    assert answer.headers["x-refocal-focus"] == "0.3000"
    assert answer.headers["x-refocal-aperture"] == "2.0000"
    assert answer.headers["x-refocal-model"] == "0123456789ab"
    steps = [part.split(";")[0].strip() for part in answer.headers["server-timing"].split(",")]
    assert steps == ["decode", "deblur", "analyse", "render", "encode"]


@pytest.mark.parametrize(("x", "side"), [(0.2, "left"), (0.8, "right")])
def test_what_lies_under_the_click_stays_sharp_and_the_rest_does_not(client: Client, x: float, side: str) -> None:
    answer = post(client, "/refocus", x=x, y=0.5, aperture=4)
    lost = np.abs(pixels_of(answer.content).astype(int) - photo_of()).mean((0, 2))
    left, right = lost[:28].mean(), lost[36:].mean()  # the seam apart
    near, away = (left, right) if side == "left" else (right, left)
    assert near < 1
    assert away > 20
    assert float(answer.headers["x-refocal-focus"]) == pytest.approx(1 if side == "left" else -1, abs=0.02)


def test_a_click_is_meant_in_the_photo_as_people_see_it(client: Client) -> None:
    """EXIF orientation 3: stored upside down, so the near half is on the right."""
    exif = Image.Exif()
    exif[0x0112] = 3
    turned = file_of(photo_of()[::-1, ::-1].copy(), exif=exif)
    answer = post(client, "/refocus", turned, x=0.2, y=0.5)
    assert float(answer.headers["x-refocal-focus"]) == pytest.approx(1, abs=0.02)
    wide = file_of(np.ascontiguousarray(np.rot90(photo_of())), exif=_exif(6))  # shown turned by a quarter
    assert pixels_of(post(client, "/refocus", wide, focus=0).content).shape[:2] == (48, 64)


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def test_metadata_stays_or_goes_as_asked_and_the_profile_always_stays(client: Client) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    photo = file_of(kind="JPEG", exif=exif, icc_profile=profile)
    for flag, kept in (("keep", "Maker"), ("strip", None)):
        made = Image.open(io.BytesIO(post(client, "/refocus", photo, focus=0, metadata=flag).content))
        assert made.getexif().get(0x010F) == kept
        assert made.info["icc_profile"] == profile


@pytest.mark.parametrize(("told", "kind"), [("jpeg", "JPEG"), ("png", "PNG"), ("webp", "WEBP"), ("tiff", "TIFF")])
def test_the_answer_has_the_format_asked_for(client: Client, told: str, kind: str) -> None:
    answer = post(client, "/refocus", focus=0, format=told)
    assert answer.headers["content-type"] == f"image/{told}"
    assert Image.open(io.BytesIO(answer.content)).format == kind


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_without_a_format_the_photo_keeps_its_own(client: Client, kind: str) -> None:
    assert Image.open(io.BytesIO(post(client, "/refocus", file_of(kind=kind), focus=0).content)).format == kind


def test_quality_is_that_of_the_file(client: Client) -> None:
    sizes = [len(post(client, "/refocus", focus=0, format="jpeg", quality=quality).content) for quality in (20, 95)]
    assert sizes[0] < sizes[1] / 2


@pytest.mark.filterwarnings("ignore:the photo is CMYK")
@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "I;16", "LA"])
def test_photos_of_all_kinds_come_back(client: Client, mode: str) -> None:
    picture = Image.fromarray(photo_of())
    picture = (
        Image.fromarray(np.arange(48 * 64, dtype=np.uint16).reshape(48, 64))
        if mode == "I;16"
        else picture.convert(mode)
    )
    buffer = io.BytesIO()
    picture.save(buffer, "TIFF")
    answer = post(client, "/refocus", buffer.getvalue(), focus=0.5)
    assert answer.status_code == 200, answer.text
    assert pixels_of(answer.content).shape[:2] == (48, 64)


def test_a_disparity_sent_along_is_used(client: Client) -> None:
    """The map says that the right half is near, against the model's belief."""
    told = np.zeros((48, 64), np.uint8)
    told[:, 32:] = 255
    answer = post(client, "/refocus", x=0.9, y=0.5, aperture=4, disparity=file_of(told))
    assert float(answer.headers["x-refocal-focus"]) == pytest.approx(1)
    lost = np.abs(pixels_of(answer.content).astype(int) - photo_of()).mean((0, 2))
    assert lost[40:].mean() < 1
    assert lost[:24].mean() > 20


def test_the_disparity_comes_as_16_bits_or_in_colours(client: Client) -> None:
    found = pixels_of(post(client, "/disparity").content)
    assert found.dtype == np.uint16
    assert found[:, :30].min() > 60000
    assert found[:, 34:].max() < 5000
    seen = pixels_of(post(client, "/disparity", view="preview").content)
    assert seen.shape == (48, 64, 3)
    assert seen[24, 5, 0] > 100 > seen[24, 60, 0]  # near is red


@pytest.mark.parametrize(("kind", "frames"), [("webp", 5), ("gif", 5)])
def test_a_sweep_is_an_animation_from_far_to_near(client: Client, kind: str, frames: int) -> None:
    answer = post(client, "/sweep", levels=frames, format=kind, aperture=2, fps=5)
    film = Image.open(io.BytesIO(answer.content))
    assert (film.n_frames, film.format) == (frames, kind.upper())
    sharp = []
    for k in (0, frames - 1):
        film.seek(k)
        lost = np.abs(np.asarray(film.convert("RGB")).astype(int) - photo_of()).mean((0, 2))
        sharp.append("left" if lost[:28].mean() < lost[36:].mean() else "right")
    assert sharp == ["right", "left"]


def test_a_sweep_is_a_film_or_frames(client: Client) -> None:
    with av.open(io.BytesIO(post(client, "/sweep", levels=4, format="mp4").content)) as film:
        assert sum(1 for _ in film.decode(video=0)) == 4
    with zipfile.ZipFile(io.BytesIO(post(client, "/sweep", levels=4, format="zip").content)) as archive:
        assert archive.namelist() == ["000.jpg", "001.jpg", "002.jpg", "003.jpg"]
        assert pixels_of(archive.read("002.jpg")).shape == (48, 64, 3)


def test_a_living_picture_is_one_file_to_keep(client: Client) -> None:
    answer = post(client, "/living", levels=3, title="Tea & <cake>")
    assert "attachment" in answer.headers["content-disposition"]
    assert "Tea &amp; &lt;cake&gt;" in answer.text
    assert answer.text.count("data:image/webp") == 3


def test_views_are_a_light_field_that_is_read_again(client: Client, tmp_path: Path) -> None:
    answer = post(client, "/views", rows=3, columns=5, far=-1, near=2)
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        archive.extractall(tmp_path / "views")
    field = LightField.open(tmp_path / "views")
    assert field.views.shape == (3, 5, 48, 64, 3)
    np.testing.assert_array_equal(field.centre, photo_of())
    assert read_options(tmp_path / "views")["slope_range"] == [-1, 2]
    mosaic = pixels_of(post(client, "/views", rows=3, columns=5, far=-1, near=2, format="png").content)
    np.testing.assert_array_equal(mosaic[1::3, 2::5], photo_of())


def test_views_of_a_camera_that_goes_round_are_a_film(client: Client) -> None:
    film = Image.open(io.BytesIO(post(client, "/views", format="webp", far=0, near=3).content))
    assert (film.n_frames, film.size) == (36, (64, 48))


def test_views_of_a_large_photo_are_reduced_with_their_slopes(
    client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pipeline, "FILM_PIXELS", 36 * 24 * 32)
    with zipfile.ZipFile(io.BytesIO(post(client, "/views", rows=1, columns=3, far=-1, near=2).content)) as archive:
        archive.extractall(tmp_path / "views")
    assert LightField.open(tmp_path / "views").size == (24, 32)
    assert read_options(tmp_path / "views")["slope_range"] == [-0.5, 1]


@pytest.mark.parametrize(
    ("fields", "named"), [({"far": 1}, "far"), ({"far": 1, "near": 0}, "slopes"), ({"rows": 0}, "rows")]
)
def test_slopes_that_are_none_are_named(client: Client, fields: dict[str, float], named: str) -> None:
    answer = post(client, "/views", **fields)
    assert (answer.status_code, answer.json()["field"]) == (422, named)


def soft_photo() -> bytes:
    """Return a file of a photo whose edges are soft."""
    blocks = np.kron(np.random.default_rng(0).random((12, 16)), np.ones((16, 16)))
    return file_of(np.rint(gaussian_filter(blocks, 3) * 255).astype(np.uint8)[..., None].repeat(3, 2))


@pytest.mark.parametrize("path", ["/refocus", "/sweep", "/disparity", "/living", "/views"])
def test_soft_photos_are_made_sharp_first_and_the_answer_says_so(
    serve: Callable[..., Client], sharpening_model: Path, path: str
) -> None:
    client = serve(sharpening_model)
    fields = {"/refocus": {"focus": 0}, "/sweep": {"levels": 2}, "/living": {"levels": 3}}.get(path, {})
    for photo, deblur, done in (
        (soft_photo(), "auto", "yes"),
        (soft_photo(), "never", "no"),
        (file_of(), "auto", "no"),
        (file_of(), "always", "yes"),
    ):
        answer = post(client, path, photo, deblur=deblur, **fields)
        assert (answer.status_code, answer.headers["x-refocal-deblurred"]) == (200, done)


def test_a_sharpened_photo_is_what_is_rendered_and_computed_once(
    serve: Callable[..., Client], sharpening_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = []
    change = Deblurring.change
    monkeypatch.setattr(Deblurring, "change", lambda self, *told: changes.append(1) or change(self, *told))
    workers = [serve(sharpening_model), serve(sharpening_model)]  # one folder
    changes.clear()
    for worker_ in (*workers, *workers):
        made = pixels_of(post(worker_, "/refocus", focus=0, aperture=0, deblur="always", format="png").content)
        np.testing.assert_allclose(made, photo_of() * 0.5, atol=1)
    assert len(changes) == 1
    untouched = post(workers[0], "/refocus", focus=0, aperture=0, deblur="never", format="png").content
    np.testing.assert_array_equal(pixels_of(untouched), photo_of())
    near = {deblur: post(workers[0], "/disparity", deblur=deblur).content for deblur in ("always", "never")}
    assert near["always"] != near["never"]  # each has its own disparity


def test_a_model_that_cannot_deblur_says_so(client: Client) -> None:
    answer = post(client, "/refocus", focus=0, deblur="always")
    assert (answer.status_code, answer.json()["field"]) == (409, "deblur")
    assert post(client, "/refocus", soft_photo(), focus=0).status_code == 200


@pytest.mark.parametrize("path", ["/disparity", "/refocus"])
def test_a_model_that_knows_no_disparity_says_so(serve: Callable[..., Client], blind_model: Path, path: str) -> None:
    client = serve(blind_model)
    answer = post(client, path, x=0.5, y=0.5) if path == "/refocus" else post(client, path)
    assert answer.status_code == 409
    assert "no disparity" in answer.json()["error"]
    assert post(client, "/refocus", focus=0.5).status_code == 200
    assert post(client, "/sweep", levels=2).status_code == 200
    assert post(client, "/living", levels=3).status_code == 200


def test_a_photo_is_analysed_once_whichever_worker_is_asked(
    serve: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    analyse = Refocuser.analyse
    monkeypatch.setattr(Refocuser, "analyse", lambda self, photo: asked.append(1) or analyse(self, photo))
    workers = [serve(), serve()]  # one folder
    for focus in (0, 0.5, 1):
        for worker in workers:
            assert post(worker, "/refocus", focus=focus).status_code == 200
    assert len(asked) == 1
    assert post(workers[0], "/refocus", file_of(photo_of(32, 32)), focus=0).status_code == 200
    assert len(asked) == 2


def test_what_is_kept_is_bounded(serve: Callable[..., Client], tmp_path: Path) -> None:
    client = serve(cache_bytes=20000)  # of some 6 kB each
    for k in range(8):
        assert post(client, "/refocus", file_of(photo_of(48 + k, 64)), focus=0).status_code == 200
    kept = list((tmp_path / "state" / "cache").glob("*.npy"))
    assert 1 <= len(kept) <= 3
    assert sum(path.stat().st_size for path in kept) <= 20000


def test_a_damaged_file_of_the_cache_is_made_anew(serve: Callable[..., Client], tmp_path: Path) -> None:
    client = serve()
    before = post(client, "/refocus", focus=0.5).content
    (kept,) = (tmp_path / "state" / "cache").glob("*.npy")
    kept.write_bytes(b"x")
    assert post(client, "/refocus", focus=0.5).content == before


def test_aperture_0_gives_the_photo_back_without_looking_for_depth(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Browsers that cannot read a file ask for it so."""
    monkeypatch.setattr("refocal.model.refocuser.Refocuser.analyse", None)
    answer = client.post("/refocus", files={"photo": ("p.png", file_of())}, data={"focus": "0", "aperture": "0"})
    assert answer.status_code == 200
    np.testing.assert_array_equal(pixels_of(answer.content), pixels_of(file_of()))


def test_films_and_living_pictures_of_a_wide_gamut_are_srgb(client: Client) -> None:
    red, icc = np.full((40, 60, 3), (230, 60, 50), np.uint8), matrix_profile(12)
    buffer = io.BytesIO()
    Image.fromarray(red).save(buffer, "PNG", icc_profile=icc)
    wanted = to_srgb(red, icc)[20, 30].astype(int)
    files = {"photo": ("p.png", buffer.getvalue())}
    answer = client.post("/sweep", files=files, data={"levels": "2", "format": "zip", "aperture": "0"})
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        frame = pixels_of(archive.read("000.jpg"))
    assert np.abs(frame[20, 30] - wanted).max() < 6
    page = client.post("/living", files=files, data={"levels": "3", "aperture": "0"}).text
    inside = re.findall(r"data:image/webp;base64,([A-Za-z0-9+/=]+)", page)
    assert np.abs(pixels_of(base64.b64decode(inside[0]))[20, 30] - wanted).max() < 6
