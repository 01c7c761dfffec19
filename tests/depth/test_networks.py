"""A depth network is opened by what names it, and a photo and its mirror image are averaged."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_depth import ramp, write_depth_model

from refocal.depth.disparity import Depth
from refocal.depth.networks import is_file, mirrored_mean, open_network
from refocal.depth.onnx_network import OnnxNetwork


def test_a_file_is_an_onnx_network_with_its_conventions(tmp_path: Path) -> None:
    path = write_depth_model(tmp_path / "net.onnx")
    network = open_network(str(path), preset="midas-release", size=64, gives="inverted")
    assert isinstance(network, OnnxNetwork)
    assert (network.name, network.conventions.size, network.conventions.gives) == ("net.onnx", 64, "inverted")
    near = open_network(str(path), preset="midas-release", size=64)
    np.testing.assert_allclose(network(ramp()).disparity, -near(ramp()).disparity, atol=1e-6)


def test_the_digest_changes_with_the_file_and_with_the_conventions(tmp_path: Path) -> None:
    paths = [write_depth_model(tmp_path / f"{scale}.onnx", scale=scale) for scale in (1, 2)]
    digests = {open_network(str(path), size=size).digest for path in paths for size in (28, 56)}
    assert len(digests) == 4
    assert open_network(str(paths[0]), size=28).digest in digests


def test_a_path_is_never_asked_for_on_the_hub() -> None:
    for name in ("net.onnx", "./owner/model", "/srv/model", "a/b/c"):
        with pytest.raises(ValueError, match="no such file"):
            is_file(name)
    assert not is_file("owner/model")
    with pytest.raises(ValueError, match="size: only for ONNX files, and the depth model owner/model is none"):
        open_network("owner/model", size=28)


def test_the_mean_over_the_mirror_image_has_no_side() -> None:
    """A network that finds the left side nearer finds neither nearer on average; what is symmetric stays."""

    class Leaning:
        name = digest = "leaning"

        def __call__(self, photo: NDArray[np.uint8]) -> Depth:
            lean = np.linspace(0.4, -0.4, photo.shape[1], dtype=np.float32)[None]
            return Depth(photo, photo[..., 0] / np.float32(512) + lean, "")

    photo = ramp()
    np.testing.assert_allclose(mirrored_mean(Leaning(), photo), photo[..., 0] / 512, atol=1e-6)
