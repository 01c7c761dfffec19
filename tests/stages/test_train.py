"""The training stages: section of params.yaml -> model, curves and pictures, and nothing else is touched."""

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
import torch
import yaml
from PIL import Image
from tiny_scenes import write_tiny_scenes

import refocal.stages.train as stage
from refocal.learning.config import TrainConfig
from refocal.params import Original, Params, Train, read_params
from refocal.stages import deblur, original, train

PARAMS = {
    "train": {
        "unet": {"num_downs": 3, "ngf": 4, "residual": True},
        "discriminator": {"ndf": 4, "layers": 1},
        "losses": {"adversarial": 0.1, "perceptual": 0, "l1": 10},
        "epochs": 2,
        "epochs_decay": 1,
        "batch": 3,
        "crop": 24,
        "device": "cpu",
        "checkpoint_every": 2,
        "validate_every": 4,
    },
    "deblur": {"deblur": {"widths": [4, 6], "blocks": [1, 1]}, "epochs_decay": 2, "batch": 3, "crop": 24},
    "original": {
        "unet": {"num_downs": 3, "ngf": 4},
        "discriminator": {"ndf": 4, "layers": 1},
        "losses": {"adversarial": 1, "perceptual": 0, "l1": 100},
    },
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working directory with params.yaml and scenes/."""
    write_tiny_scenes(tmp_path / "scenes", {"a": "train", "b": "train", "c": "validation"})
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(PARAMS), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def column(path: Path, name: str) -> list[float]:
    with path.open(encoding="utf-8") as file:
        return [float(row[name]) for row in csv.DictReader(file, delimiter="\t")]


def test_the_stage_leaves_a_generator_with_its_curves_and_pictures_and_no_checkpoint(project: Path) -> None:
    train.main()
    assert torch.load("models/generator.pt", weights_only=True)["config"]["residual"] is True
    curve = project / "dvclive/plots/metrics/loss/generator.tsv"
    assert column(curve, "step") == [2, 4, 6]
    assert column(project / "dvclive/plots/metrics/validation/psnr.tsv", "step") == [0, 4, 6]
    summary = json.loads((project / "dvclive/metrics.json").read_text(encoding="utf-8"))
    assert summary["loss"]["generator"] == pytest.approx(column(curve, "generator")[-1])
    pictures = sorted((project / "dvclive/plots/images/validation").iterdir())
    assert [path.name for path in pictures] == ["0000000.png", "0000004.png", "0000006.png"]
    with Image.open(pictures[0]) as picture:
        assert picture.size == (3 * 24, 3 * 24)
    assert {path.name for path in project.iterdir()} == {"params.yaml", "scenes", "models", "dvclive", "checkpoints"}
    assert not list((project / "checkpoints").iterdir())


def test_a_stopped_stage_goes_on_with_its_whole_curves(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC empties the outputs of a stage before it runs it again: what was logged before comes from the checkpoint."""
    train.main()
    whole = torch.load("models/generator.pt", weights_only=True)["state"]
    curve = (project / "dvclive/plots/metrics/loss/l1.tsv").read_bytes()
    Path("models/generator.pt").unlink()
    looked = stage.train.__globals__["validate"]

    def stopped(*given: object) -> object:
        if (project / "checkpoints/train/last.pt").exists():
            raise KeyboardInterrupt
        return looked(*given)

    monkeypatch.setitem(stage.train.__globals__, "validate", stopped)  # at step 4
    with pytest.raises(KeyboardInterrupt):
        train.main()
    assert (project / "checkpoints/train/last.pt").exists()
    shutil.rmtree("dvclive")
    monkeypatch.setitem(stage.train.__globals__, "validate", looked)
    train.main()
    again = torch.load("models/generator.pt", weights_only=True)["state"]
    assert all(torch.equal(again[name], whole[name]) for name in whole)
    assert (project / "dvclive/plots/metrics/loss/l1.tsv").read_bytes() == curve


def test_without_dvclive_the_stage_trains_the_same_generator_and_prints_its_curves(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train.main()
    whole = torch.load("models/generator.pt", weights_only=True)["state"]
    curve = column(project / "dvclive/plots/metrics/loss/l1.tsv", "l1")
    shutil.rmtree("dvclive")
    capsys.readouterr()
    monkeypatch.setitem(sys.modules, "dvclive.live", None)
    train.main()
    again = torch.load("models/generator.pt", weights_only=True)["state"]
    assert all(torch.equal(again[name], whole[name]) for name in whole)
    printed = re.findall(r"^train: loss/l1 (\S+) at step (\d+)$", capsys.readouterr().out, re.MULTILINE)
    assert [(float(value), int(step)) for value, step in printed] == [
        (pytest.approx(value, rel=1e-4), step) for value, step in zip(curve, (2, 4, 6), strict=True)
    ]
    assert not Path("dvclive").exists()


def test_a_repository_is_left_as_it_was(project: Path) -> None:
    """DVCLive makes no experiment, no commit and no dvc.yaml: dvc.yaml declares what is logged."""

    def git(*words: str) -> str:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    git("init", "-q")
    (project / ".gitignore").write_text("/scenes\n/models\n/dvclive\n/checkpoints\n", encoding="utf-8")
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], check=True)
    git("add", "-A")
    git("commit", "-q", "-m", "start")
    before = git("for-each-ref"), git("status", "--porcelain")
    train.main()
    assert (git("for-each-ref"), git("status", "--porcelain")) == before
    assert not list(project.rglob("dvc.yaml"))


def test_the_original_s_recipe_shares_data_and_budget_and_becomes_an_onnx_file(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[TrainConfig] = []

    def spy(scenes: object, config: TrainConfig, **rest: object) -> None:
        seen.append(config)
        stage.train(scenes, config, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(original, "train", spy)
    original.main()
    ours, theirs = stage.train_config(read_params().train), seen[0]
    assert (theirs.unet.residual, theirs.losses.perceptual, theirs.losses.l1) == (False, 0, 100)
    overridden = set(Original.model_fields)
    for name in set(Train.model_fields) - overridden - {"processes"}:
        assert getattr(ours, name) == getattr(theirs, name)
    model = onnx.load("models/original.onnx")
    assert json.loads({p.key: p.value for p in model.metadata_props}["training_data"])["images"] == 18
    assert not Path("models/generator.pt").exists()
    assert not list((project / "checkpoints").iterdir())


def test_the_stage_deblur_leaves_a_generator_that_deblurs_with_curves_of_its_own(project: Path) -> None:
    deblur.main()
    content = torch.load("models/deblur.pt", weights_only=True)
    assert (content["network"], content["config"]) == ("deblur", {"widths": (4, 6), "blocks": (1, 1)})
    assert content["about"]["training"]["losses"]["l1"] == 20
    assert column(project / "dvclive_deblur/plots/metrics/validation/psnr.tsv", "step")[0] == 0
    assert not Path("models/generator.pt").exists()
    assert not list((project / "checkpoints").iterdir())


@pytest.mark.slow
def test_a_stage_runs_in_several_processes_and_only_the_first_writes(project: Path) -> None:
    content = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))
    content["train"] |= {"processes": 2, "batch": 4}
    (project / "params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "refocal.stages.train"], capture_output=True, text=True, cwd=project, check=False
    )
    assert done.returncode == 0, done.stderr
    assert Path("models/generator.pt").is_file()
    assert done.stdout.count("kept step") == 1
    assert not list((project / "checkpoints").iterdir())


def test_parameters_and_their_plain_twin_agree_in_names_and_defaults() -> None:
    assert stage.train_config(Params().train) == TrainConfig()


def test_without_a_terminal_progress_is_a_plain_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(stage.time, "monotonic", lambda: now)
    with stage.shown("train") as tell:
        for step in range(1, 31):
            now = float(step)
            tell(step, 30, 4.0)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" of ")[0] for line in lines if line] == [f"train: step {n}" for n in (10, 20, 30)]
    assert "4.0 img/s" in lines[0]
