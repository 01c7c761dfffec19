"""Light fields that are written are read again, as they were, by us and in the order that others expect."""

from pathlib import Path

import numpy as np
import pytest

from refocal.images.image import read_image
from refocal.lightfields.lightfield import LightField, read_options
from refocal.lightfields.writers import write_light_field


@pytest.mark.parametrize("mosaic", ["", "room"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_what_is_written_is_read_again(tmp_path: Path, mosaic: str, kind: type) -> None:
    views = np.random.default_rng(0).integers(0, np.iinfo(kind).max, (3, 4, 20, 30, 3)).astype(kind)
    write_light_field(tmp_path, views.reshape(12, 20, 30, 3), (3, 4), slopes=(-0.5, 1), mosaic=mosaic)
    read = LightField.open(tmp_path)
    scale = 1 if kind is np.uint8 else 65535
    np.testing.assert_allclose(read.views * np.float64(scale), views, atol=0.5)
    assert read_options(tmp_path)["slope_range"] == [-0.5, 1]
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == (
        ["lightfield.toml", "room_eslf.png"]
        if mosaic
        else ["lightfield.toml", *(f"view_{u:02d}_{v:02d}.png" for u in range(3) for v in range(4))]
    )


def test_near_is_stored_as_lytro_s_decoders_do(tmp_path: Path) -> None:
    """The first view stored is the last of ours: content that is near moves against the index."""
    views = np.zeros((2, 2, 10, 10, 3), np.uint8)
    views[1, 1] = 200
    write_light_field(tmp_path, views.reshape(4, 10, 10, 3), (2, 2), slopes=(0, 1))
    assert read_image(tmp_path / "view_00_00.png").pixels.max() == 200
    write_light_field(tmp_path, views.reshape(4, 10, 10, 3), (2, 2), slopes=(0, 1), mosaic="m")
    assert read_image(tmp_path / "m_eslf.png").pixels[::2, ::2].min() == 200


def test_grey_and_transparent_views_are_written_as_colours_are(tmp_path: Path) -> None:
    grey = np.full((4, 8, 9), 7, np.uint8)
    write_light_field(tmp_path, grey, (2, 2), slopes=(0, 1))
    assert LightField.open(tmp_path).views.max() == 7
    clear = np.full((4, 8, 9, 4), 9, np.uint8)
    write_light_field(tmp_path, clear, (2, 2), slopes=(0, 1), mosaic="m")
    assert read_image(tmp_path / "m_eslf.png").pixels.shape == (16, 18, 3)
