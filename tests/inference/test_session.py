"""The right model is found, and what is none, or does not run as asked, is said in one line."""

import re
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from tiny_model import PROPS, write_model

from refocal.inference import session
from refocal.model.refocuser import Refocuser


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "tiny.onnx", PROPS)


def test_the_model_is_the_argument_else_the_variable_else_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REFOCAL_MODEL", raising=False)
    monkeypatch.setattr("refocal.inference.session._RELEASED", ())
    with pytest.raises(ValueError, match=r"no model found: name an ONNX file .* `make repro`"):
        Refocuser()
    (tmp_path / "models").mkdir()
    for name in ("models/refocal.onnx", "variable.onnx", "argument.onnx"):
        write_model(tmp_path / name, PROPS | {"network": name})
    assert Refocuser().metadata["network"] == "models/refocal.onnx"
    monkeypatch.setenv("REFOCAL_MODEL", "variable.onnx")
    assert Refocuser().metadata["network"] == "variable.onnx"
    assert Refocuser("argument.onnx").metadata["network"] == "argument.onnx"
    monkeypatch.setenv("REFOCAL_MODEL", "absent.onnx")
    with pytest.raises(ValueError, match=r"REFOCAL_MODEL must be .* got absent\.onnx: no such file"):
        Refocuser()


def test_a_file_that_is_no_refocal_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(ValueError, match=r"model .*text\.onnx cannot be opened"):
        Refocuser(tmp_path / "text.onnx")
    bare = write_model(tmp_path / "bare.onnx", {})
    with pytest.raises(ValueError, match="lacks the metadata focus_range"):
        Refocuser(bare)
    odd = write_model(tmp_path / "odd.onnx", PROPS | {"focus_range": "1 -1"})
    with pytest.raises(ValueError, match="has malformed metadata"):
        Refocuser(odd)
    other = write_model(tmp_path / "other.onnx", PROPS, extra_input="depth")
    with pytest.raises(ValueError, match=r"must take photo, focus, aperture, it takes .*depth"):
        Refocuser(other)


def test_providers_that_do_not_work_are_errors_not_a_silent_cpu(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Refocuser(model, providers=["CPUExecutionProvider"])(np.zeros((8, 8, 3), np.uint8), 0).shape == (8, 8, 3)
    with pytest.raises(ValueError, match=r"providers must be of .*CPUExecutionProvider.*, got Abacus"):
        Refocuser(model, providers=["Abacus"])
    with pytest.raises(ValueError, match="got none"):
        Refocuser(model, providers=[])
    with pytest.raises(ValueError, match="require_gpu: no GPU can be used here"):
        Refocuser(model, providers=["CPUExecutionProvider"], require_gpu=True)
    known = ["CUDAExecutionProvider", "CPUExecutionProvider"]  # as onnxruntime-gpu claims on any machine
    monkeypatch.setattr("refocal.inference.session.onnxruntime.get_available_providers", lambda: known)
    monkeypatch.setattr("refocal.inference.session.onnxruntime.InferenceSession", lambda *_, **__: FellBack())
    with pytest.raises(ValueError, match="require_gpu: no GPU can be used here"):
        Refocuser(model, require_gpu=True)
    with pytest.raises(ValueError, match="providers: CUDAExecutionProvider does not load"):
        Refocuser(model, providers=known)


class FellBack:
    """A session that was asked for CUDA and runs on the CPU."""

    def get_providers(self) -> list[str]:
        return ["CPUExecutionProvider"]


@pytest.fixture
def idle_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Put a GPU here that onnxruntime, built for it, cannot use."""
    (tmp_path / "nvidiactl").touch()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(session, "_GPU_DEVICES", (str(tmp_path / "nvidiactl"),))
    monkeypatch.setattr(session.shutil, "which", lambda _: None)
    monkeypatch.setattr(session, "_warn_of_idle_gpu", cache(session._warn_of_idle_gpu.__wrapped__))
    return monkeypatch


@pytest.mark.parametrize(
    ("known", "line"),
    [
        (
            ["CUDAExecutionProvider", "CPUExecutionProvider"],
            "a GPU is here, but CUDA does not load .*: the CPU is",
        ),
        (["CPUExecutionProvider"], "a GPU is here, but this onnxruntime is for CPUs alone: the CPU is used"),
    ],
)
def test_a_gpu_that_is_not_used_is_said_once(
    model: Path, idle_gpu: pytest.MonkeyPatch, known: list[str], line: str
) -> None:
    real = session.onnxruntime.InferenceSession
    on_cpu = lambda path, options, providers: real(path, options, providers=["CPUExecutionProvider"])  # noqa: E731
    idle_gpu.setattr(session.onnxruntime, "get_available_providers", lambda: known)
    idle_gpu.setattr(session.onnxruntime, "InferenceSession", on_cpu)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for _ in range(2):
            Refocuser(model)
    assert len(told) == 1
    assert re.match(line, str(told[0].message))


@pytest.mark.parametrize("devices", ["", "-1", "NoDevFiles", " -1 "])
def test_a_gpu_that_is_hidden_is_none(model: Path, idle_gpu: pytest.MonkeyPatch, devices: str) -> None:
    idle_gpu.setenv("CUDA_VISIBLE_DEVICES", devices)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Refocuser(model)
    with pytest.raises(ValueError, match="require_gpu: no GPU"):
        Refocuser(model, require_gpu=True)


def test_sessions_are_told_the_cores_of_the_container(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "cores", lambda: 3)
    opened = session.open_session(model, threads=0, providers=None, require_gpu=False)
    assert opened.get_session_options().intra_op_num_threads == 3
