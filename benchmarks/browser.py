"""The page's engine in this browser beside Python's on the same machine: load, analyse, render, memory.

    make site && python benchmarks/browser.py

Chromium under Playwright loads the static site from a plain host on loopback, as a first visit does, and works on a
photograph at three sizes; Python takes turns with it. Medians. Memory is what Chromium's renderer holds at the end.
"""

import functools
import http.server
import os
import shutil
import statistics
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image
from playwright.sync_api import sync_playwright
from skimage import data

from refocal.model.refocuser import Refocuser

ROOT = Path(__file__).parents[1]
SIZES = ((512, 384), (1024, 768), (4000, 3000))  # width, height
SHARE = 0.03  # blur diameter, of the long side
LOOK = """async ([name, width, height]) => {
  const { BrowserEngine } = await import('./static/engines.js');
  const engine = (window.ours ||= new BrowserEngine(() => {}));
  await engine.prepare();
  const bitmap = await createImageBitmap(await (await fetch(`static/${name}.jpg`)).blob());
  const canvas = new OffscreenCanvas(width, height), context = canvas.getContext('2d');
  context.drawImage(bitmap, 0, 0, width, height);
  const { data: pixels } = context.getImageData(0, 0, width, height), start = performance.now();
  await engine.tell('look', { width, height, data: pixels, when: 'never', colours: 'srgb' });
  return performance.now() - start;
}"""
RENDER = """async ([focus, aperture]) => {
  const start = performance.now();
  await window.ours.tell('refocus', { place: { focus }, aperture });
  return performance.now() - start;
}"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A static host that says nothing."""

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def python(refocuser: Refocuser, width: int, height: int, focus: float) -> tuple[float, float]:
    """Return the seconds of analysing and rendering."""
    pixels = np.asarray(Image.fromarray(data.coffee()).resize((width, height)))
    start = time.perf_counter()
    disparity = refocuser.analyse(pixels)
    middle = time.perf_counter()
    refocuser.render(pixels, disparity, focus, SHARE * width)
    return middle - start, time.perf_counter() - middle


def memory() -> float:
    """Return the MB that Chromium's renderers hold."""
    processes = [one for one in psutil.process_iter(["cmdline"]) if "--type=renderer" in (one.info["cmdline"] or [])]
    return max((one.memory_info().rss for one in processes), default=0) / 2**20


def main() -> None:
    """Measure and print."""
    site = ROOT / "public"
    if not (site / "index.html").is_file():
        raise SystemExit("there is no public/: make site")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    refocuser = Refocuser(ROOT / "models/pretrained/refocal.onnx")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        start = time.perf_counter()
        page.goto(f"http://127.0.0.1:{server.server_address[1]}/")
        page.wait_for_selector("html[data-threads]", state="attached")
        first = time.perf_counter() - start
        page.wait_for_selector("html[data-loaded=all]", state="attached", timeout=120_000)
        told = page.evaluate("({ ...document.documentElement.dataset })")
        start = time.perf_counter()
        page.reload()
        page.wait_for_selector("html[data-threads]", state="attached")
        again = time.perf_counter() - start
        print(f"Chromium {browser.version}, {told['provider']}, {told['threads']} threads, {os.cpu_count()} cores")
        loaded = int(told["bytes"]) / 1e6
        print(f"first visit: {loaded:.1f} MB until it can refocus, {first:.1f} s; again: {again:.1f} s\n")
        print("| | analyse, browser | server | render, browser | server | MB |\n|---|---|---|---|---|---|")
        for width, height in SIZES:
            took: list[list[float]] = [[], [], [], []]
            for k in range(1 if width > 2000 else 4):
                took[0].append(page.evaluate(LOOK, ["coffee", width, height]) / 1e3)
                took[2].append(page.evaluate(RENDER, [np.sin(k), SHARE * width]) / 1e3)
                ours = python(refocuser, width, height, float(np.sin(k)))
                took[1].append(ours[0])
                took[3].append(ours[1])
            cells = " | ".join(f"{statistics.median(times):.2f} s" for times in took)
            print(f"| {width} x {height} | {cells} | {memory():.0f} |", flush=True)
        browser.close()


if __name__ == "__main__":
    main()
