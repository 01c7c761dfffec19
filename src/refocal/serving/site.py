"""The page as a static site that refocuses in the browser: `python -m refocal.serving.site FOLDER`, or `make site`.

    index.html  offline.js  app.webmanifest
    static/             the page's files, as the service has them
    static/runtime/     onnxruntime-web and what writes films, of npm (web/package.json)
    static/models/      the halves of the model, the generator that deblurs, and models.json: their conventions

A service with REFOCAL_ENGINE=browser or auto serves static/runtime/ and static/models/ of such a folder.
"""

import gzip
import hashlib
import json
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from string import Template

from refocal.inference.session import find_model, part_of
from refocal.model.living import living_template
from refocal.model.sessions import open_model
from refocal.serving.api.page import BROWSER_POLICY, FOLDER, page_with

RUNTIME = {
    "onnxruntime-web/dist/ort.wasm.min.mjs": "ort.wasm.min.mjs",
    "onnxruntime-web/dist/ort-wasm-simd-threaded.mjs": "ort-wasm-simd-threaded.mjs",
    "onnxruntime-web/dist/ort-wasm-simd-threaded.wasm": "ort-wasm-simd-threaded.wasm.gz",
    "onnxruntime-web/dist/ort.webgpu.min.mjs": "ort.webgpu.min.mjs",
    "onnxruntime-web/dist/ort-wasm-simd-threaded.asyncify.mjs": "ort-wasm-simd-threaded.asyncify.mjs",
    "onnxruntime-web/dist/ort-wasm-simd-threaded.asyncify.wasm": "ort-wasm-simd-threaded.asyncify.wasm.gz",
    "gifenc/dist/gifenc.esm.js": "gifenc.esm.js",
    "mediabunny/dist/bundles/mediabunny.min.mjs": "mediabunny.min.mjs",
}
LICENCES = {"onnxruntime-web": "MIT", "gifenc": "MIT", "mediabunny": "MPL-2.0"}
RELEASED = Path("models/pretrained/refocal.onnx")  # in 16 bits: half of what `make repro` writes
ROOT = ("index.html", "offline.js", "app.webmanifest")  # the others lie in static/


def write_site(folder: Path, packages: Path, model: Path | None = None) -> int:
    """Write the site, whole or not at all, in place of one that is there.

    Parameters
    ----------
    folder
        New, empty, or a site.
    packages
        The `node_modules` of web/.
    model
        ONNX file of the kind that finds depth; None: as `Refocuser` finds it.

    Returns
    -------
    How many bytes a first visit loads: without WebGPU, and with what deblurs and writes films.

    Raises
    ------
    ValueError
        One line: packages that are not there, a model without halves, a folder of something else.
    """
    if folder.is_dir() and any(folder.iterdir()) and not (folder / ROOT[1]).is_file():
        raise ValueError(f"{folder} holds something else; name a new folder")
    beside = folder.absolute().with_name(f".{folder.name}.partial")
    shutil.rmtree(beside, ignore_errors=True)
    static = beside / "static"
    (static / "runtime").mkdir(parents=True)
    _write_runtime(static / "runtime", packages)
    _write_models(static, find_model(model))
    for source in FOLDER.iterdir():
        if source.is_file() and source.name not in ROOT:
            (static / source.name).write_bytes(source.read_bytes())
    files = sorted(path.relative_to(beside).as_posix() for path in static.rglob("*") if path.is_file())
    digest = hashlib.sha256(b"".join((beside / name).read_bytes() for name in files) + _text("index.html").encode())
    first = ["./", "app.webmanifest", *(name for name in files if name.count("/") == 1)]
    told = {"version": digest.hexdigest()[:12], "files": json.dumps(first), "policy": BROWSER_POLICY}
    (beside / "index.html").write_bytes(page_with(engine="browser", offline="yes", policy=BROWSER_POLICY))
    (beside / "offline.js").write_text(Template(_text("offline.js")).substitute(told), encoding="utf-8")
    (beside / "app.webmanifest").write_text(_text("app.webmanifest"), encoding="utf-8")
    size = sum((beside / name).stat().st_size for name in files if "webgpu" not in name and "asyncify" not in name)
    if folder.exists():
        shutil.rmtree(folder)
    beside.rename(folder.absolute())
    return size


def _write_runtime(folder: Path, packages: Path) -> None:
    for source, name in RUNTIME.items():
        path = packages / source
        if not path.is_file():
            raise ValueError(f"there is no {path}: `make site` installs the packages of web/package.json")
        content = path.read_bytes()
        (folder / name).write_bytes(gzip.compress(content, 9, mtime=0) if name.endswith(".gz") else content)
    notes = [f"{package}: {licence}\n" for package, licence in LICENCES.items()]
    (folder / "LICENCES.txt").write_text("".join(notes), encoding="utf-8")


def _write_models(static: Path, model: Path) -> None:
    opened = open_model(model, batch=1, options={"threads": 1, "providers": None, "require_gpu": False})
    if "render" not in opened:
        raise ValueError(f"the model {model} has no halves: the browser needs one that finds depth")
    folder = static / "models"
    folder.mkdir()
    parts = [part for part in ("analyse", "render", "deblur") if part in opened]
    for part in parts:
        (folder / f"{part}.onnx").write_bytes(part_of(model, part).read_bytes())
    (folder / "living.html").write_text(living_template(), encoding="utf-8")
    sizes = {path.relative_to(static).as_posix(): path.stat().st_size for path in static.rglob("*") if path.is_file()}
    renderer = json.loads(opened["render"].metadata.get("renderer", "null"))
    told = {part: asdict(opened[part].conventions) for part in parts} | {"bytes": sizes, "renderer": renderer}
    (folder / "models.json").write_text(json.dumps(told), encoding="utf-8")


def _text(name: str) -> str:
    return FOLDER.joinpath(name).read_text(encoding="utf-8")


def main(arguments: list[str]) -> None:
    """Write the site to the folder that is named, with the released weights or the model that is named."""
    if len(arguments) not in {1, 2}:
        raise SystemExit("usage: python -m refocal.serving.site FOLDER [MODEL.onnx]")
    model = Path(arguments[1]) if arguments[1:] else RELEASED
    try:
        size = write_site(Path(arguments[0]), Path("web/node_modules"), model)
    except (ValueError, OSError) as error:
        raise SystemExit(f"refocal: {error}") from None
    print(f"{arguments[0]}: a first visit loads {size / 1e6:.1f} MB; serve the folder, or publish it as it is")


if __name__ == "__main__":
    main(sys.argv[1:])
