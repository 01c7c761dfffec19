"""What refocuses one photo after another: the model, opened once, and the settings that all photos share."""

import hashlib
import json
import time
import warnings
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from refocal.batch.photos import Photo
from refocal.batch.storage import StorageError, one_line, read, write
from refocal.depth.networks import DepthNetwork, is_file, open_network
from refocal.images.image import Image, encoded, read_image
from refocal.inference.session import find_model, part_of
from refocal.model.photo import PhotoSettings, refocus_image
from refocal.model.refocuser import Refocuser

MODEL, DEPTH = "model.onnx", "depth.onnx"
PARTS = ("", "analyse", "render", "deblur")
Line = dict[str, Any]  # of the manifest


@dataclass(frozen=True)
class BatchSettings:
    """What all photos of a batch share: as the options of `refocal photo`.

    Attributes
    ----------
    photo
        Focus, aperture, deblurring.
    model
        ONNX file; None: as `refocal photo` finds it.
    quality
        1 to 100, of JPEG and WebP.
    tile, require_gpu
        Of `Refocuser`.
    depth
        Arguments of `depth.networks.open_network`; None: the depth inside a portrait photo, else the model's own.
    """

    photo: PhotoSettings
    model: Path | None = None
    quality: int = 95
    tile: int = 1024
    require_gpu: bool = False
    depth: dict[str, Any] | None = None


class Worker:
    """Refocuses photos, one a call.

    Parameters
    ----------
    settings : BatchSettings
    out : str
        Folder of the outputs.
    threads : int
        Of onnxruntime.

    Raises
    ------
    ValueError
        No such model, or settings out of range: they are tried on a small grey picture.
    """

    def __init__(self, settings: BatchSettings, out: str, threads: int = 1) -> None:
        self.settings, self.out = settings, out.rstrip("/")
        tile, gpu = settings.tile, settings.require_gpu
        self.refocuser = Refocuser(settings.model, tile=tile, threads=threads, require_gpu=gpu)
        self.network: DepthNetwork | None = None
        if settings.depth is not None:
            if not self.refocuser.finds_depth:
                raise ValueError(f"the model {self.refocuser.model} cannot be given a disparity")
            self.network = open_network(**settings.depth, threads=threads)
        with warnings.catch_warnings(action="ignore"):
            small = Image(np.full((64, 64, 3), 128, np.uint8))
            refocus_image(self.refocuser, small, settings.photo)
            encoded(Path("small.jpg"), small.pixels, quality=settings.quality)

    def __call__(self, photo: Photo) -> Line:
        """Refocus a photo and return its line of the manifest; StorageError where the output cannot be written."""
        start = time.perf_counter()
        line: Line = {"photo": photo.source, "output": photo.output}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            try:
                data, about = self._refocused(photo)
                write(f"{self.out}/{photo.output}", data)
                line |= {"outcome": "done", **about}
            except StorageError:
                raise
            except (Exception, MemoryError) as error:  # noqa: BLE001  one bad photo must not end the batch
                line |= {"outcome": "failed", "error": one_line(error)}
        told = sorted({one_line(one.message) for one in caught if isinstance(one.message, UserWarning)})
        line |= {"warnings": told} if told else {}
        return line | {"seconds": round(time.perf_counter() - start, 3)}

    def _refocused(self, photo: Photo) -> tuple[bytes, dict[str, Any]]:
        data = read(photo.source)
        image = read_image(data, name=photo.source)
        depth = None if self.network is None else self.network(image.pixels).disparity
        made = refocus_image(self.refocuser, image, self.settings.photo, depth, data=data)
        height, width = image.pixels.shape[:2]
        about = {"focus": made.focus, "aperture": made.aperture, "depth": made.depth, "width": width, "height": height}
        return encoded(Path(photo.output), made.pixels, like=image, quality=self.settings.quality), about


def died(photo: Photo) -> Line:
    """Return the line of a photo whose process dies whenever it is tried."""
    error = "the process that refocused it died, most likely for lack of memory"
    return {"photo": photo.source, "output": photo.output, "outcome": "failed", "error": error}


def made_with(settings: BatchSettings) -> str:
    """Return a digest of the settings, and of the files of the models: by it a photo is known to be done."""
    total = hashlib.sha256(json.dumps(asdict(replace(settings, model=None)), default=str).encode())
    for content in model_files(settings).values():
        total.update(content)
    return total.hexdigest()[:16]


def model_files(settings: BatchSettings) -> dict[str, bytes]:
    """Return the files of the models, by the names that `with_files_in` gives them: what another machine needs."""
    model = find_model(settings.model)
    files = {part_of(Path(MODEL), part).name: part_of(model, part) for part in PARTS}
    if settings.depth is not None and is_file(settings.depth["model"]):
        files[DEPTH] = Path(settings.depth["model"])
    return {name: path.read_bytes() for name, path in files.items() if path.is_file()}


def with_files_in(settings: BatchSettings, files: dict[str, bytes], folder: Path) -> BatchSettings:
    """Write the files of `model_files` to a folder, and return the settings that name them there."""
    for name, content in files.items():
        (folder / name).write_bytes(content)
    depth = settings.depth
    if depth is not None and DEPTH in files:
        depth = depth | {"model": str(folder / DEPTH)}
    return replace(settings, model=folder / MODEL, depth=depth)
