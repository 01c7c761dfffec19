"""The half that analyses with 8-bit integers, and what it loses: for `inference.py`."""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quant_pre_process, quantize_static

from refocal import Refocuser
from refocal.evaluation.modes import evaluation_modes
from refocal.evaluation.scoring import score_scene
from refocal.inference.session import part_of
from refocal.scenes.parallel import Folders, prepare_scenes
from refocal.scenes.preparation import Recipe
from refocal.scenes.scene import read_scenes

SCENES = 8


class Calibration(CalibrationDataReader):
    """Photos, one after the other."""

    def __init__(self, photos: Sequence[NDArray[np.float32]]) -> None:
        self.left = iter([{"photo": photo.transpose(2, 0, 1)[None]} for photo in photos])

    def get_next(self) -> Any:
        """Return the next one."""
        return next(self.left, None)


def with_integers(model: Path, photos: Sequence[NDArray[np.float32]], folder: Path) -> Path:
    """Write a model that analyses by convolutions of 8-bit integers, a scale a channel; float32 for the rest."""
    made, ready = folder / model.name, folder / "ready.onnx"
    for path in (model, part_of(model, "render")):
        shutil.copy(path, folder / path.name)
    quant_pre_process(str(part_of(model, "analyse")), str(ready), skip_symbolic_shape=True)
    kinds = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8, "quant_format": QuantFormat.QDQ}
    quantize_static(
        str(ready),
        str(part_of(made, "analyse")),
        Calibration(photos),
        per_channel=True,
        op_types_to_quantize=["Conv"],
        **kinds,
    )
    return made


def print_losses(models: Mapping[str, Path], data: Path) -> None:
    """Print how near models come to the focal stacks of light fields, for the first few of a folder."""
    with tempfile.TemporaryDirectory() as folder:
        captures = Path(folder) / "data"
        captures.mkdir()
        for capture in sorted(path for path in data.iterdir() if not path.name.startswith("."))[:SCENES]:
            (captures / capture.name).symlink_to(capture.resolve())
        prepare_scenes(
            Folders(captures, Path(folder) / "scenes", Path(folder) / "side"),
            Recipe(levels=(-1, 0, 1), levels_between=()),
            lambda groups: dict.fromkeys(groups, "test"),
            about={},
            progress=lambda *_: None,
            skip=True,
        )
        methods = {name: evaluation_modes(Refocuser(model))["refocal"] for name, model in models.items()}
        scores = [score_scene(scene, methods) for scene in read_scenes(Path(folder) / "scenes")]
    print(f"\n| against {len(scores)} focal stacks | PSNR | SSIM |\n|---|---|---|")
    for name in methods:
        psnr, ssim = (np.mean([level[key] for one in scores for level in one.levels[name]]) for key in ("psnr", "ssim"))
        print(f"| {name} | {psnr:.2f} dB | {ssim:.4f} |")
