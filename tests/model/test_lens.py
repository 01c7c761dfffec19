"""The living picture's lens in a real browser: it gives Python's pictures, and frames stand in where it cannot."""

import base64
import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import CHROMIUM, NEEDS_CHROMIUM
from PIL import Image
from skimage import data

from refocal.model.living import living_html
from refocal.model.refocuser import Refocuser

MODEL = Path(__file__).parents[2] / "models/pretrained/refocal.onnx"
WEBGL = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = [
    pytest.mark.slow,
    NEEDS_CHROMIUM,
    pytest.mark.skipif(not MODEL.is_file(), reason="no released weights (make setup)"),
]
ASK = """([focus, times]) => {
  for (const [name, value] of [['aperture', times], ['focus', focus]]) {
    const slider = document.getElementById(name); slider.value = value; slider.dispatchEvent(new Event('input'));
  }
}"""


@pytest.fixture(scope="module")
def refocuser() -> Refocuser:
    return Refocuser(MODEL)


@pytest.fixture(scope="module")
def living(refocuser: Refocuser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a living picture of odd sides, whose largest blurs are wider than the renderer's."""
    photo = np.asarray(Image.fromarray(data.astronaut()).resize((197, 163)))
    path = tmp_path_factory.mktemp("living") / "odd.html"
    path.write_text(living_html(refocuser, photo, levels=3, aperture=24), encoding="utf-8")
    return path


@contextmanager
def opened(path: Path, arguments: list[str]) -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *arguments])
        page = browser.new_page()
        page.set_default_timeout(60_000)
        page.goto(path.as_uri())
        yield page
        browser.close()


def picture_of(url: str) -> Any:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))))


def test_the_lens_in_the_browser_gives_python_s_pictures(living: Path, refocuser: Refocuser) -> None:
    """To 2 of 255: blurs on both sides of the focus, none at all, and wider than the widest disk."""
    found = re.search(r"const picture = (\{.*\});", living.read_text(encoding="utf-8"))
    assert found
    content = json.loads(found[1])
    photo = picture_of(content["photo"])
    disparity = (picture_of(content["depth"]) / 127.5 - 1).astype(np.float32)
    assert content["aperture"] == 24
    with opened(living, WEBGL) as page:
        page.wait_for_selector("#stage[data-lens=yes]")
        for focus, times in ((-1, 1), (0.3, 0.4), (1, 3), (0, 0)):
            page.evaluate(ASK, [focus, times])
            page.wait_for_selector(f'#stage[data-drawn="{focus:.3f} {times:g}"]')
            page.wait_for_selector("#lens.on")
            made = picture_of(page.evaluate("document.getElementById('lens').toDataURL()"))[..., :3].astype(int)
            wanted = refocuser.render(photo, disparity, focus, 24 * times)
            assert np.abs(made - wanted).max() <= 2, (focus, times)
            assert (np.abs(made - photo.astype(int)).max() > 30) == (times > 0)


def test_without_webgl_the_frames_are_shown(living: Path) -> None:
    with opened(living, ["--disable-gpu", "--disable-3d-apis"]) as page:
        page.wait_for_selector("#stage[data-lens=no]")
        assert page.locator("#blur").is_hidden()
        page.focus("#focus")
        page.keyboard.press("End")
        assert page.get_attribute("#stage", "data-focus") == "1.00"
        assert page.get_attribute("#above", "data-k") == "2"
        assert page.evaluate("document.getElementById('above').naturalWidth") == 197
