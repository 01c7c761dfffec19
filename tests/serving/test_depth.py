"""Where the service takes depth from: what is sent, what is inside the photo, the operator's network, the model."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from portraits import write_portrait
from service_worker import file_of, photo_of, pixels_of
from starlette.testclient import TestClient
from tiny_depth import write_depth_model

from refocal.depth.networks import open_network
from refocal.serving.pipeline.depth import depth_network
from refocal.serving.settings import Settings

Serve = Callable[..., TestClient]
NETWORK = {"depth_preset": "midas-release", "depth_size": 64}


@pytest.fixture
def network(tmp_path: Path) -> str:
    return str(write_depth_model(tmp_path / "bright.onnx"))  # bright is near


def disparity(client: TestClient, photo: bytes, **files: Any) -> Any:
    return client.post("/disparity", files={"photo": ("p", photo), **files})


def test_the_network_of_the_operator_finds_the_depth(serve: Serve, network: str) -> None:
    client = serve(depth_model=network, **NETWORK)
    answer = disparity(client, file_of())
    assert answer.headers["x-refocal-depth"] == "network bright.onnx"
    wanted = open_network(network, preset="midas-release", size=64)(photo_of()).disparity
    np.testing.assert_allclose(pixels_of(answer.content) / 65535 * 2 - 1, wanted, atol=1e-3)
    assert disparity(serve(), file_of()).headers["x-refocal-depth"] == "model"


def test_every_response_names_the_network(serve: Serve, network: str) -> None:
    """Readiness included, which BentoML answers behind the same guard."""
    assert serve(depth_model=network, **NETWORK).get("/").headers["x-refocal-depth-model"] == "bright.onnx"
    assert "x-refocal-depth-model" not in serve().get("/").headers


def test_what_is_sent_and_what_is_inside_the_photo_come_first(serve: Serve, network: str, tmp_path: Path) -> None:
    client = serve(depth_model=network, **NETWORK)
    slope = np.linspace(0, 255, 64).astype(np.uint8)[None].repeat(48, 0)
    buffer = io.BytesIO()
    Image.fromarray(slope).save(buffer, "PNG")
    answer = disparity(client, file_of(), disparity=("d.png", buffer.getvalue()))
    assert answer.headers["x-refocal-depth"] == "given"
    portrait = write_portrait(tmp_path / "portrait.jpg", "disparity").read_bytes()
    answer = disparity(client, portrait)
    assert answer.headers["x-refocal-depth"] == "portrait"
    found = pixels_of(answer.content).mean(0)
    assert np.corrcoef(found, np.arange(len(found)))[0, 1] > 0.98
    for path, fields in (("/refocus", {"focus": "0.5"}), ("/living", {"levels": "3"}), ("/sweep", {"levels": "2"})):
        answer = client.post(path, files={"photo": ("p.jpg", portrait)}, data=fields)
        assert (answer.status_code, answer.headers["x-refocal-depth"]) == (200, "portrait")


def test_a_photo_is_analysed_anew_where_the_network_changes(serve: Serve, network: str) -> None:
    """The cache is shared by servers one after the other."""
    first = disparity(serve(depth_model=network, **NETWORK), file_of()).content
    inverted = disparity(serve(depth_model=network, depth_kind="inverted", **NETWORK), file_of()).content
    own = disparity(serve(), file_of()).content
    assert len({first, inverted, own}) == 3
    assert np.corrcoef(pixels_of(first).ravel(), pixels_of(inverted).ravel())[0, 1] < -0.9


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depth_model": "none.onnx"}, "REFOCAL_DEPTH_MODEL none.onnx: the depth model none.onnx: no such file"),
        ({"depth_size": 64}, "REFOCAL_DEPTH_SIZE says how to use REFOCAL_DEPTH_MODEL, which is not set"),
        ({"depth_model": "n", "depth_preset": "other"}, "REFOCAL_DEPTH_PRESET must be one of depth-anything-v2, "),
        ({"depth_model": "n", "depth_kind": "metres"}, "REFOCAL_DEPTH_KIND must be one of disparity, depth, inverted"),
        ({"depth_model": "n", "depth_mean": "1,2"}, "REFOCAL_DEPTH_MEAN must be R,G,B, as 0.5,0.5,0.5, got '1,2'"),
    ],
)
def test_a_setting_that_cannot_be_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        depth_network(Settings(**changes))
