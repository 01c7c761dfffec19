"""The wheel carries the released weights where they are there: `dvc pull` brings them."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NAMES = ("refocal.onnx", "refocal.analyse.onnx", "refocal.render.onnx", "refocal.deblur.onnx", "LICENSE")


class Weights(BuildHookInterface):
    """Puts models/pretrained/ into the package as refocal/weights/."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the files to a wheel, all or none; an editable install reads them from the checkout."""
        files = [Path(self.root, "models", "pretrained", name) for name in NAMES]
        if version != "editable" and all(file.is_file() for file in files):
            build_data["force_include"].update({str(file): f"refocal/weights/{file.name}" for file in files})
