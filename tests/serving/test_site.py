"""The static site in a real browser: it gives the server's pictures, asks nobody else, and works without a network."""

import base64
import functools
import http.server
import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import CHROMIUM, NEEDS_CHROMIUM
from PIL import Image, ImageCms, ImageFilter
from portraits import COLOUR, MAP, write_portrait
from scipy.ndimage import gaussian_filter
from service_worker import served, worker
from skimage import data
from starlette.testclient import TestClient

from refocal.depth.portrait import depth_inside
from refocal.images.image import read_image
from refocal.images.profiles import profile_of_code
from refocal.model.refocuser import Refocuser
from refocal.serving.guard import Guard
from refocal.serving.site import write_site
from refocal.serving.turns import Turns

ROOT = Path(__file__).parents[2]
PACKAGES, MODEL = ROOT / "web/node_modules", ROOT / "models/pretrained/refocal.onnx"
sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = [
    pytest.mark.slow,
    NEEDS_CHROMIUM,
    pytest.mark.skipif(not PACKAGES.is_dir(), reason="no packages of npm (make web/node_modules/.ready)"),
    pytest.mark.skipif(not MODEL.is_file(), reason="no released weights (make setup)"),
    pytest.mark.filterwarnings("ignore"),
]
SAVED = """async ([name, focus, share, when]) => {
  const { BrowserEngine } = await import('./static/engines.js');
  const engine = (window.ours ||= new BrowserEngine(() => {}));
  await engine.prepare();
  const file = new File([await (await fetch('photos/' + name)).blob()], name, { type: 'image/png' });
  const { blob } = await engine.tell('save', { file, place: { focus }, share, when, type: 'image/png' });
  const reader = new FileReader();
  return new Promise((done) => { reader.onload = () => done(reader.result); reader.readAsDataURL(blob); });
}"""


class Host:
    """A plain static host, which can be switched off."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        asked = self.asked

        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                asked.append(self.path)

        handler = functools.partial(Handler, directory=str(folder))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}/"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "public"
    assert write_site(folder, PACKAGES, MODEL) < 20e6  # bytes of a first visit
    (folder / "photos").mkdir()
    return folder


@pytest.fixture(scope="module")
def host(site: Path) -> Iterator[Host]:
    made = Host(site)
    yield made
    made.close()


@pytest.fixture
def page(browser: Any, host: Host) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 390, "height": 844}, accept_downloads=True)
    context.set_default_timeout(120_000)
    opened, problems, elsewhere = context.new_page(), [], []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("console", lambda line: problems.append(line.text) if "Content Security" in line.text else None)
    ours = (host.address, "blob:", "data:")
    context.on("request", lambda request: None if request.url.startswith(ours) else elsewhere.append(request.url))
    opened.goto(host.address)
    opened.wait_for_selector("html[data-loaded=all]", state="attached")
    yield opened
    context.close()
    assert not problems
    assert not elsewhere


def photos() -> dict[str, tuple[Any, float, float]]:
    """Pictures of different sizes and kinds, each with a focus and a blur as a share of its long side."""
    astronaut, coffee, cat = (Image.fromarray(pixels) for pixels in (data.astronaut(), data.coffee(), data.chelsea()))
    clear = astronaut.resize((200, 160)).convert("RGBA")
    return {
        "astronaut": (astronaut, 0.5, 0.03),
        "coffee": (coffee, -1, 0.03),
        "cat": (cat, 1, 0.02),
        "rocket": (Image.fromarray(data.rocket()), 0, 0.06),
        "large": (coffee.resize((600, 800), Image.Resampling.BICUBIC), 0.7, 0.03),
        "narrow": (astronaut.resize((1800, 60)), 0.2, 0.02),
        "odd": (cat.resize((233, 601)), -0.4, 0.05),
        "small": (astronaut.resize((37, 53)), 1, 0.03),
        "grey": (astronaut.convert("L"), 0.9, 0.03),
        "blurred": (astronaut.filter(ImageFilter.GaussianBlur(3)), 0.5, 0.03),
        "wide": (astronaut, 1, 0.2),
        "clear": (clear, 0.3, 0.04),
    }


def test_the_browser_gives_the_server_s_pictures(page: Any, site: Path) -> None:
    """To 2 of 255, on photos of many sizes and kinds: tiles, guided upsampling, wide blurs and deblurring included."""
    refocuser = Refocuser(MODEL)
    for name, (picture, focus, share) in photos().items():
        path = site / "photos" / f"{name}.png"
        picture.save(path)
        pixels = read_image(path).pixels
        wanted = refocuser(
            pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, 2), focus, share * max(pixels.shape[:2])
        )
        answer = page.evaluate(SAVED, [path.name, focus, share, "auto"])
        made = np.asarray(Image.open(io.BytesIO(base64.b64decode(answer.partition(",")[2]))).convert("RGB")).astype(int)
        assert np.abs(made - wanted[..., :3]).max() <= 2, name
        assert np.abs(made - read_rgb(pixels)).max() > 8, f"{name} was not refocused"


def read_rgb(pixels: Any) -> Any:
    return (pixels[..., :3] if pixels.ndim == 3 else pixels[..., None]).astype(int)


def jpeg(pixels: Any, **more: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95, **more)
    return file.getvalue()


def ready(page: Any) -> None:
    page.wait_for_timeout(300)
    page.wait_for_selector("body:not(.busy)")


def open_photo(page: Any, content: bytes, name: str = "garden.jpg", kind: str = "image/jpeg") -> None:
    page.set_input_files("#file", files=[{"name": name, "mimeType": kind, "buffer": content}])
    ready(page)


def shown(page: Any) -> Any:
    """Return the picture on the page as pixels, at its own size."""
    text = page.evaluate(
        """async () => {
          const image = document.getElementById('picture'); await image.decode();
          const size = { width: image.naturalWidth, height: image.naturalHeight };
          const canvas = Object.assign(document.createElement('canvas'), size);
          canvas.getContext('2d').drawImage(image, 0, 0); return canvas.toDataURL('image/png');
        }"""
    )
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text.partition(",")[2]))).convert("L")).astype(float)


def detail(pixels: Any) -> float:
    return float(np.abs(pixels - gaussian_filter(pixels, 2)).mean())


def test_clicks_focus_near_and_far_by_a_depth_map_of_one_s_own_and_pictures_are_saved(page: Any) -> None:
    random = np.random.default_rng(0)
    pixels = np.kron(random.integers(0, 256, (60, 80, 3), np.uint8), np.ones((4, 4, 1), np.uint8))
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Maker", 1
    open_photo(page, jpeg(pixels, exif=exif))
    near = np.zeros((60, 80), np.uint16)
    near[:, :40] = 65535  # the left half
    file = io.BytesIO()
    Image.fromarray(near).save(file, "PNG")
    page.set_input_files("#map", files=[{"name": "map.png", "mimeType": "image/png", "buffer": file.getvalue()}])
    ready(page)
    box = page.locator("#stage").bounding_box()
    for side, x in (("left", 0.2), ("right", 0.8)):
        page.mouse.click(box["x"] + x * box["width"], box["y"] + box["height"] / 2)
        ready(page)
        seen = shown(page)
        left, right = detail(seen[:, :140]), detail(seen[:, 180:])
        assert (left > 1.5 * right) if side == "left" else (right > 1.5 * left), side
    assert page.locator("#status").inner_text() == "Focused far away."
    for kind, suffix in (("picture", "jpg"), ("gif", "gif"), ("living", "html")):
        page.click("#save summary")
        with page.expect_download() as download:
            page.click(f"[data-save={kind}]")
        content = Path(download.value.path()).read_bytes()
        assert download.value.suggested_filename == f"garden refocused.{suffix}"
        if kind == "picture":
            saved = Image.open(io.BytesIO(content))
            assert saved.size == (320, 240)
            assert saved.getexif()[0x010F] == "Maker"
        if kind == "gif":
            assert Image.open(io.BytesIO(content)).n_frames == 24
        if kind == "living":
            assert content.count(b"data:image/webp") == 18  # frames, and the photo for the lens
            assert content.count(b'"renderer":{') == 1
            assert b"$title" not in content
            assert b"garden" in content


DEPTH = """async (name) => {
  const { depthInside } = await import('./static/portrait.js');
  const found = await depthInside(await (await fetch('photos/' + name)).blob());
  return found && { ...found, data: [...found.data] };
}"""


def test_the_depth_inside_portrait_photos_is_python_s(page: Any, site: Path) -> None:
    """Of iPhones, in all orientations, of Google's and of Dynamic Depth."""
    grey = io.BytesIO()
    Image.fromarray(MAP).save(grey, "PNG")
    about = b'GDepth:Format="RangeInverse" GDepth:Near="0.5" GDepth:Far="8" '
    coded = about + b'GDepth:Data="' + base64.b64encode(grey.getvalue()) + b'"'
    items = (
        '<Container:Item Item:Semantic="Primary" Item:Length="0"/>'
        f'<Container:Item Item:Semantic="Depth" Item:Length="{len(grey.getvalue())}"/>'
    )
    near = 'DepthMap:Format="RangeLinear" DepthMap:Near="0.5" DepthMap:Far="8"'
    files = {f"apple{turn}.jpg": turn for turn in range(1, 9)}
    for name, turn in files.items():
        write_portrait(site / "photos" / name, "disparity" if turn % 2 else "depth", turn)
    (site / "photos/google.jpg").write_bytes(jpeg(COLOUR, xmp=coded))
    (site / "photos/dynamic.jpg").write_bytes(jpeg(COLOUR, xmp=(items + near).encode()) + grey.getvalue())
    (site / "photos/none.jpg").write_bytes(jpeg(COLOUR))
    for name in [*files, "google.jpg", "dynamic.jpg"]:
        wanted, made = depth_inside(site / "photos" / name), page.evaluate(DEPTH, name)
        assert wanted is not None
        assert (made["height"], made["width"]) == wanted.shape, name
        np.testing.assert_allclose(np.reshape(made["data"], wanted.shape), wanted, rtol=1e-4, err_msg=name)
    assert page.evaluate(DEPTH, "none.jpg") is None
    assert depth_inside(site / "photos/none.jpg") is None


def test_it_works_without_a_network_and_says_what_it_cannot_read(browser: Any, site: Path) -> None:
    host = Host(site)
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(120_000)
    try:
        page = context.new_page()
        page.goto(host.address)
        page.wait_for_selector("html[data-loaded=all]", state="attached")
        assert page.evaluate("crossOriginIsolated")  # by the service worker: threads
        host.close()
        page.reload()
        page.wait_for_selector("html[data-loaded=all]", state="attached")
        page.click("[data-example=coffee]")
        ready(page)
        assert page.locator("#depth").get_attribute("src").startswith("blob:")
        open_photo(page, b"no picture")
        assert "not a photo that this browser can read" in page.locator("#status").inner_text()
        open_photo(page, b"II*\\0", "scan.tif", "image/tiff")
        assert "cannot read TIFF" in page.locator("#status").inner_text()
        assert page.locator("#picture").is_visible()  # the one before stays
    finally:
        context.close()


def test_a_photo_of_12_megapixels_is_saved_or_stopped(page: Any) -> None:
    small = data.coffee()
    large = np.asarray(Image.fromarray(small).resize((4000, 3000), Image.Resampling.BICUBIC))
    open_photo(page, jpeg(large))
    page.click("#save summary")
    page.click("[data-save=picture]")
    page.get_by_text("%").wait_for()
    page.click("#stop")
    page.get_by_text("Stopped.").wait_for()
    ready(page)
    box = page.locator("#stage").bounding_box()
    page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 0.8 * box["height"])
    ready(page)
    assert "Focused" in page.locator("#status").inner_text()


def test_wide_colours_stay_wide(browser: Any, host: Host) -> None:
    """A photo in Display P3 on a screen that shows it is saved in it, and its red is still red."""
    pixels = data.coffee().copy()
    pixels[100:200, 100:200] = (255, 0, 0)
    arguments = ["--no-sandbox", "--force-color-profile=display-p3-d65"]
    launched = browser.browser_type.launch(executable_path=CHROMIUM, args=arguments)
    page = launched.new_context(accept_downloads=True).new_page()
    page.set_default_timeout(120_000)
    page.goto(host.address)
    page.wait_for_selector("html[data-loaded=all]", state="attached")
    open_photo(page, jpeg(pixels, icc_profile=profile_of_code(12, 13)))
    page.click("#save summary")
    with page.expect_download() as download:
        page.click("[data-save=picture]")
    saved = Image.open(io.BytesIO(Path(download.value.path()).read_bytes()))
    launched.close()
    described = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(saved.info["icc_profile"])))
    assert "P3" in described
    assert np.abs(np.asarray(saved)[150, 150].astype(int) - (255, 0, 0)).max() < 8


def test_the_service_offers_the_browser_s_engine(browser: Any, site: Path, tmp_path: Path) -> None:
    """The page is the same; photos are not sent, and the browser may use threads."""
    app, settings = worker(tmp_path, MODEL, engine="auto", site=site)
    context = browser.new_context()
    context.set_default_timeout(120_000)
    page, posts = context.new_page(), []
    page.on("request", lambda asked: posts.append(asked.url) if asked.method == "POST" else None)
    with served(app, settings) as address:
        page.goto(address)
        page.wait_for_selector("html[data-loaded=all][data-engine=browser]", state="attached")
        assert page.evaluate("crossOriginIsolated")
        open_photo(page, jpeg(data.coffee()))
        page.locator("#stage").click()
        ready(page)
        assert "Focused" in page.locator("#status").inner_text()
        assert not posts
        context.close()


def test_a_service_without_it_has_none_of_its_files(tmp_path: Path, site: Path) -> None:
    for engine, code in (("server", 404), ("browser", 200)):
        app, settings = worker(tmp_path, MODEL, engine=engine, site=site)
        client = TestClient(Guard(app, settings, Turns(settings.at_once)))
        assert client.get("/static/models/models.json").status_code == code
        assert client.get("/static/models/..%2f..%2findex.html").status_code in {404, 422}


def test_a_folder_of_something_else_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("dear")
    with pytest.raises(ValueError, match="holds something else"):
        write_site(tmp_path / "mine", PACKAGES, MODEL)
    assert (tmp_path / "mine/thesis.txt").read_text() == "dear"
    with pytest.raises(ValueError, match="make site"):
        write_site(tmp_path / "new", tmp_path, MODEL)
