"""A depth model of transformers, from the hub or a folder, gives depth in focus units; one that is none is one line."""

import sys
from pathlib import Path

import numpy as np
import pytest

from refocal.depth.transformers_network import TransformersNetwork


@pytest.fixture(scope="module", params=["depth_anything", "metric", "dpt"])
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Save a tiny transformers model with random weights; return its folder and what it gives."""
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp(request.param)
    tiny = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    head = {"neck_hidden_sizes": [8, 8], "fusion_hidden_size": 8, "reassemble_factors": [2, 1]}
    if request.param == "dpt":
        config = transformers.DPTConfig(
            **tiny, **head, image_size=32, patch_size=16, backbone_out_indices=[0, 1], is_hybrid=False
        )
        model = transformers.DPTForDepthEstimation(config)
        processor = transformers.DPTImageProcessor(size={"height": 32, "width": 32})
    else:
        backbone = transformers.Dinov2Config(
            **tiny, image_size=28, patch_size=14, out_indices=[1, 2], reshape_hidden_states=False, apply_layernorm=True
        )
        config = transformers.DepthAnythingConfig(
            backbone_config=backbone,
            reassemble_hidden_size=16,
            head_hidden_size=8,
            patch_size=14,
            depth_estimation_type="metric" if request.param == "metric" else "relative",
            max_depth=20,
            **head,
        )
        model = transformers.DepthAnythingForDepthEstimation(config)
        processor = transformers.DPTImageProcessor(size={"height": 28, "width": 28}, ensure_multiple_of=14)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder, "depth" if request.param == "metric" else "disparity"


@pytest.mark.filterwarnings("default")  # theirs
def test_a_transformers_model_gives_depth(saved: tuple[Path, str]) -> None:
    folder, gives = saved
    photo = np.random.default_rng(0).integers(0, 256, (60, 80, 4), np.uint8)
    depth = TransformersNetwork(str(folder))(photo)
    assert (depth.disparity.dtype, depth.disparity.shape) == (np.float32, (60, 80))
    assert depth.source == f"transformers model {folder}"
    np.testing.assert_array_equal(depth.disparity, TransformersNetwork(str(folder), gives=gives)(photo).disparity)
    other = "disparity" if gives == "depth" else "depth"
    opposite = TransformersNetwork(str(folder), gives=other)(photo).disparity
    assert np.corrcoef(depth.disparity.ravel(), opposite.ravel())[0, 1] < 0


@pytest.mark.filterwarnings("default")
def test_a_transformers_model_that_is_none_is_refused_in_one_line(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    with pytest.raises(ValueError, match=r"model_name .* gives no depth: ") as caught:
        TransformersNetwork(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_without_transformers_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    missing = r"needs the depth extra: pip install 'refocal\[depth\]' \(no transformers here\)"
    with pytest.raises(ValueError, match=missing):
        TransformersNetwork("some/model")
    with pytest.raises(ValueError, match="gives must be one of"):
        TransformersNetwork("some/model", gives="metres")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("RepositoryNotFoundError", "the hub has no such model, or shows it to its friends alone, and no earlier"),
        ("ConnectionError", "the hub cannot be asked (no route), and no earlier download is here"),
    ],
)
def test_a_name_that_the_hub_does_not_give_is_one_line_after_one_question(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], error: str, reason: str
) -> None:
    """What transformers does by itself takes most of a minute and a dozen lines."""
    hub, transformers = pytest.importorskip("huggingface_hub"), pytest.importorskip("transformers")
    asked: list[str] = []

    def refuse(name: str, **_: object) -> None:
        asked.append(name)
        if error == "ConnectionError":
            raise ConnectionError("no route https://huggingface.co/nobody/nothing/resolve/main/config.json")
        raise hub.errors.RepositoryNotFoundError.__new__(hub.errors.RepositoryNotFoundError, "404")

    monkeypatch.setattr(hub, "model_info", refuse)
    monkeypatch.setattr(transformers, "pipeline", lambda *_, **__: pytest.fail("transformers was asked"))
    with pytest.raises(ValueError, match=r"model_name 'nobody/nothing' gives no depth: ") as caught:
        TransformersNetwork("nobody/nothing")
    assert reason in str(caught.value)
    assert "http" not in str(caught.value)
    assert asked == ["nobody/nothing"]
    assert capfd.readouterr() == ("", "")


def test_what_was_downloaded_before_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub, transformers = pytest.importorskip("huggingface_hub"), pytest.importorskip("transformers")

    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError("no route")

    loaded: list[str] = []
    monkeypatch.setattr(hub, "model_info", unreachable)
    monkeypatch.setattr(hub, "snapshot_download", lambda _, *, local_files_only: str(tmp_path / str(local_files_only)))

    def pipeline(_: str, *, model: str) -> None:
        loaded.append(model)
        raise OSError("nothing is loaded really")

    monkeypatch.setattr(transformers, "pipeline", pipeline)
    with pytest.raises(ValueError, match="gives no depth"):
        TransformersNetwork("some/model")
    assert loaded == [str(tmp_path / "True")]


def test_what_cannot_be_a_name_is_said_so() -> None:
    pytest.importorskip("transformers")
    with pytest.raises(ValueError, match="neither a folder here nor a name on the hub"):
        TransformersNetwork("a b")


def test_a_long_reason_is_cut_between_words_and_has_no_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    transformers = pytest.importorskip("transformers")

    def fail(*_: object, **__: object) -> None:
        raise OSError("cannot load\n" + "https://example.org/a/b see more words " * 30)

    monkeypatch.setattr(transformers, "pipeline", fail)
    with pytest.raises(ValueError, match="gives no depth: cannot load see more words") as caught:
        TransformersNetwork("tests")
    told = str(caught.value)
    assert len(told) < 300
    assert "example" not in told
    assert told.endswith(("see …", "more …", "words …"))
