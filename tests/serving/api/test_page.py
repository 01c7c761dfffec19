"""The page in a real browser: open a photo, click near and far, save, and be told in words what went wrong."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from chromium import NEEDS_CHROMIUM
from PIL import Image
from scipy.ndimage import gaussian_filter
from service_worker import file_of, pixels_of, served, worker
from starlette.testclient import TestClient

from refocal.serving.guard import Guard
from refocal.serving.turns import Turns

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = [
    pytest.mark.slow,
    NEEDS_CHROMIUM,
    pytest.mark.filterwarnings("ignore"),
]
SIZE = (240, 320)


def photo() -> Any:
    """Left near, right far, fine detail all over; larger than one click's neighbourhood."""
    pixels = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    pixels = np.asarray(Image.fromarray(pixels[::4, ::4]).resize(SIZE[::-1], Image.Resampling.NEAREST)).copy()
    pixels[:, : SIZE[1] // 2, 0] = 255
    pixels[:, SIZE[1] // 2 :, 0] = 0
    return pixels


@pytest.fixture
def address(tmp_path: Path, lens_model: Path, sharpening_model: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    told = dict(getattr(request, "param", {}))
    model = sharpening_model if told.pop("sharpening", False) else lens_model
    app, settings = worker(tmp_path, told.pop("model", model), **told)
    with served(app, settings) as address:
        yield address


@pytest.fixture(params=[(1280, 800), (390, 844)], ids=["wide", "phone"])
def page(browser: Any, address: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    yield from _page(browser, address, request.param)


@pytest.fixture
def wide_page(browser: Any, address: str) -> Iterator[Any]:
    yield from _page(browser, address, (1280, 800))


def _page(browser: Any, address: str, size: tuple[int, int]) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, accept_downloads=True)
    context.set_default_timeout(20_000)
    opened = context.new_page()
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("console", lambda line: problems.append(line.text) if "Content Security" in line.text else None)
    opened.goto(address)
    yield opened
    context.close()
    assert not problems


def open_photo(page: Any, data: bytes | None = None, name: str = "garden.png") -> None:
    data = file_of(photo()) if data is None else data
    page.set_input_files("#file", files=[{"name": name, "mimeType": "image/png", "buffer": data}])


def wait_for_depth(page: Any) -> None:
    page.wait_for_selector("#depth[src^=blob]", state="attached")


def click(page: Any, x: float, y: float = 0.5) -> None:
    box = page.locator("#stage").bounding_box()
    page.mouse.click(box["x"] + box["width"] * x, box["y"] + box["height"] * y)


def detail(page: Any) -> tuple[float, float]:
    """Return how much fine detail the left and the right half of the shown photo have."""
    seen = pixels_of(page.locator("#picture").screenshot()).astype(float)[..., 1:3].mean(2)
    edges = np.abs(np.diff(seen, axis=1))
    third = edges.shape[1] // 3
    return float(edges[:, 20:third].mean()), float(edges[:, -third:-20].mean())


def focused(page: Any, words: str) -> None:
    page.locator("#status", has_text=f"Focused {words}").wait_for()
    page.wait_for_timeout(250)  # the picture is decoded
    page.evaluate("document.getElementById('ring').classList.remove('on')")


def test_what_is_clicked_becomes_sharp_and_the_rest_soft(page: Any) -> None:
    open_photo(page)
    wait_for_depth(page)
    before = detail(page)
    click(page, 0.2)
    focused(page, "near")
    near = detail(page)
    click(page, 0.8)
    focused(page, "far")
    far = detail(page)
    assert near[0] > 0.8 * before[0]
    assert near[1] < 0.6 * before[1]
    assert far[1] > 0.8 * before[1]
    assert far[0] < 0.6 * before[0]
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= page.viewport_size["width"]  # nothing sticks out


def brightness(page: Any) -> float:
    page.wait_for_timeout(250)  # the picture is decoded
    return float(pixels_of(page.locator("#picture").screenshot())[..., :3].mean())


@pytest.mark.parametrize("address", [{"sharpening": True}], indirect=True)
def test_a_photo_is_made_sharp_and_left_as_it_is_by_one_button(wide_page: Any) -> None:
    """What the model calls sharp is half as bright, and half as near: it takes red for near."""
    open_photo(wide_page)
    wait_for_depth(wide_page)
    button = wide_page.locator("#deblur")
    assert button.get_attribute("aria-pressed") == "false"
    before = brightness(wide_page)
    button.click()
    wide_page.wait_for_selector("body:not(.busy)")
    wide_page.locator("#deblur[aria-pressed=true]").wait_for()
    assert brightness(wide_page) == pytest.approx(before / 2, rel=0.1)
    wide_page.click("#compare")  # before and after
    assert wide_page.locator("#before").is_visible()
    wide_page.click("#compare")
    click(wide_page, 0.2)
    focused(wide_page, "in the middle")
    assert brightness(wide_page) == pytest.approx(before / 2, rel=0.15)
    with wide_page.expect_download() as saved:
        wide_page.click("#save summary")
        wide_page.click("[data-save=picture]")
    assert pixels_of(Path(saved.value.path()).read_bytes())[..., :3].mean() == pytest.approx(before / 2, rel=0.15)
    button.click()
    focused(wide_page, "in the middle")
    wide_page.locator("#deblur[aria-pressed=false]").wait_for()
    wide_page.wait_for_selector("body:not(.busy)")
    assert brightness(wide_page) == pytest.approx(before, rel=0.15)


@pytest.mark.parametrize("address", [{"sharpening": True}], indirect=True)
def test_a_soft_photo_is_made_sharp_by_itself_and_told(wide_page: Any) -> None:
    blocks = np.kron(np.random.default_rng(0).random((15, 20)), np.ones((16, 16)))
    soft = np.rint(gaussian_filter(blocks, 3) * 255).astype(np.uint8)[..., None].repeat(3, 2)
    open_photo(wide_page, file_of(soft))
    wide_page.locator("#deblur[aria-pressed=true]").wait_for()
    wide_page.locator("#status", has_text="it was made sharp first").wait_for()


def test_a_server_that_cannot_deblur_says_so_once(wide_page: Any) -> None:
    open_photo(wide_page)
    wait_for_depth(wide_page)
    wide_page.click("#deblur")
    wide_page.locator("#status.bad", has_text="cannot deblur").wait_for()
    assert wide_page.locator("#deblur").is_disabled()
    click(wide_page, 0.2)
    focused(wide_page, "near")


def test_sliders_move_the_focus_and_the_blur(wide_page: Any) -> None:
    open_photo(wide_page)
    wait_for_depth(wide_page)
    before = detail(wide_page)
    wide_page.locator("#focus").fill("1")
    focused(wide_page, "near")
    left, right = detail(wide_page)
    assert left > 0.8 * before[0] > right
    wide_page.locator("#aperture").fill("0")
    wide_page.wait_for_timeout(800)
    assert detail(wide_page)[1] > 0.8 * before[1]


def test_everything_works_by_keyboard(wide_page: Any) -> None:
    open_photo(wide_page)
    wait_for_depth(wide_page)
    wide_page.focus("#stage")
    for _ in range(4):
        wide_page.keyboard.press("Shift+ArrowRight")
    wide_page.keyboard.press("Enter")
    focused(wide_page, "far")
    wide_page.focus("#focus")
    wide_page.keyboard.press("End")
    focused(wide_page, "near")
    wide_page.focus("#see")
    wide_page.keyboard.press("Space")
    assert wide_page.locator("#depth").is_visible()


def test_the_picture_is_saved_at_full_size_with_its_own_format(wide_page: Any) -> None:
    large = np.tile(photo(), (5, 5, 1))
    open_photo(wide_page, file_of(large))
    wait_for_depth(wide_page)
    wide_page.locator("#focus").fill("1")
    focused(wide_page, "near")
    with wide_page.expect_download() as saved:
        wide_page.click("#save summary")
        wide_page.click("[data-save=picture]")
    assert saved.value.suggested_filename == "garden refocused.png"
    assert pixels_of(Path(saved.value.path()).read_bytes()).shape == large.shape


@pytest.mark.parametrize(("kind", "head"), [("mp4", b"ftyp"), ("webp", b"WEBP"), ("gif", b"GIF8")])
def test_the_sweep_is_saved_as_a_film(wide_page: Any, kind: str, head: bytes) -> None:
    open_photo(wide_page)
    wait_for_depth(wide_page)
    with wide_page.expect_download() as saved:
        wide_page.click("#save summary")
        wide_page.click(f"[data-save={kind}]")
    assert head in Path(saved.value.path()).read_bytes()[:16]


def test_a_living_picture_refocuses_by_itself_where_it_is_clicked(wide_page: Any, browser: Any, tmp_path: Path) -> None:
    open_photo(wide_page)
    wait_for_depth(wide_page)
    with wide_page.expect_download() as saved:
        wide_page.click("#save summary")
        wide_page.click("[data-save=living]")
    saved.value.save_as(tmp_path / "living.html")
    context = browser.new_context(viewport={"width": 800, "height": 600}, offline=True)
    alone = context.new_page()
    asked: list[str] = []
    alone.on("request", lambda request: asked.append(request.url))
    alone.goto((tmp_path / "living.html").as_uri())
    alone.wait_for_selector("#stage[data-ready=yes]")
    reached = []
    for x in (0.2, 0.8):
        click(alone, x)
        alone.wait_for_timeout(1200)
        reached.append(float(alone.get_attribute("#stage", "data-focus")))
    assert reached[0] > 0.9
    assert reached[1] < -0.9
    alone.focus("#focus")
    alone.keyboard.press("End")
    assert float(alone.get_attribute("#stage", "data-focus")) == 1
    assert not [url for url in asked if not url.startswith(("file:", "data:"))]
    context.close()


def test_the_sweep_plays_and_stops(wide_page: Any) -> None:
    open_photo(wide_page)
    wait_for_depth(wide_page)
    wide_page.click("#play")
    seen = set()
    for _ in range(20):
        wide_page.wait_for_timeout(100)
        seen.add(wide_page.input_value("#focus"))
    assert len(seen) > 4
    wide_page.click("#play")
    wide_page.wait_for_timeout(300)
    at = wide_page.input_value("#focus")
    wide_page.wait_for_timeout(400)
    assert wide_page.input_value("#focus") == at


def test_compare_shows_the_original_beside(wide_page: Any) -> None:
    open_photo(wide_page)
    wait_for_depth(wide_page)
    before = detail(wide_page)
    click(wide_page, 0.2)
    focused(wide_page, "near")
    wide_page.click("#compare")
    seen = pixels_of(wide_page.locator("#stage").screenshot()).astype(float)[..., 1:3].mean(2)
    right = np.abs(np.diff(seen, axis=1))[:, -100:-20].mean()
    assert right > 0.8 * before[1]  # as it was


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"no picture at all", "not a photo that can be read"), (file_of(photo())[:900], "damaged")],
)
def test_a_broken_file_is_told_in_plain_words_and_the_open_photo_stays(wide_page: Any, data: bytes, words: str) -> None:
    open_photo(wide_page, data)
    wide_page.locator("#status.bad", has_text=words).wait_for()
    assert wide_page.locator("#welcome").is_visible()
    open_photo(wide_page)
    wait_for_depth(wide_page)
    open_photo(wide_page, data)
    wide_page.locator("#status.bad", has_text=words).wait_for()
    assert wide_page.locator("#picture").is_visible()


@pytest.mark.parametrize("address", [{"max_bytes": 20_000}], indirect=True)
def test_a_photo_that_is_too_large_to_save_is_told_so(wide_page: Any) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    open_photo(wide_page, file_of(noise))
    wide_page.locator("#status.bad", has_text="too large").wait_for()


@pytest.mark.parametrize("address", [{"token": "sesame"}], indirect=True)
def test_a_server_with_a_token_asks_for_it_once(wide_page: Any) -> None:
    open_photo(wide_page)
    wide_page.fill("#token input", "sesame")
    wide_page.click("#token button")
    wait_for_depth(wide_page)
    click(wide_page, 0.2)
    focused(wide_page, "near")


def test_a_server_that_is_gone_is_told_in_plain_words(wide_page: Any) -> None:
    open_photo(wide_page)
    wait_for_depth(wide_page)
    wide_page.context.set_offline(True)
    click(wide_page, 0.2)
    wide_page.locator("#status.bad", has_text="does not answer").wait_for()


def test_a_model_without_depth_leaves_the_sliders(browser: Any, tmp_path: Path, blind_model: Path) -> None:
    app, settings = worker(tmp_path, blind_model)
    server = uvicorn.Server(uvicorn.Config(Guard(app, settings, Turns(settings.at_once)), port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    address = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    for page in _page(browser, address, (1280, 800)):
        open_photo(page)
        page.locator("#status", has_text="does not know depth").wait_for()
        assert page.locator("#see").is_disabled()
        page.locator("#focus").fill("0.9")
        focused(page, "near")
    server.should_exit = True
    thread.join()


def test_an_example_opens_with_one_click(wide_page: Any) -> None:
    wide_page.click("[data-example=chelsea]")
    wait_for_depth(wide_page)
    assert wide_page.evaluate("document.getElementById('picture').naturalWidth") == 451


def test_the_page_knows_the_limits_before_anything_is_sent(serve: Callable[..., TestClient]) -> None:
    page = serve(max_bytes=12_345, max_pixels=678).get("/").text
    assert '<body data-engine="server" data-max-bytes="12345" data-max-pixels="678">' in page
