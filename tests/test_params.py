"""params.yaml is checked at the door; the presets that the README documents are allowed and build networks."""

import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from refocal.learning.gan import build_run
from refocal.learning.networks.lens import Lens
from refocal.params import Params, read_params
from refocal.stages.train import train_config

ROOT = Path(__file__).parents[1]
# A preset is a name, what it is for, and one line or several of settings.
PRESETS = [
    (name, re.findall(r"dvc exp run ([^\n]*)", lines))
    for name, lines in re.findall(
        r"`(\w+)`: [^\n]*\n(?:[^\n]+\n)*\n((?:    [^\n]+\n)+)", (ROOT / "README.md").read_text(encoding="utf-8")
    )
]
LINES = [(name, line) for name, lines in PRESETS for line in lines]


def with_settings(line: str) -> dict[str, Any]:
    """Return params.yaml as `dvc exp run -S key=value …` would set it; a key must be there."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    words = shlex.split(line)
    assert set(words[::2]) == {"-S"}
    for word in words[1::2]:
        path, value = word.split("=", 1)
        *sections, key = path.split(".")
        place = content
        for section in sections:
            place = place[section]
        assert key in place, f"{path} is no parameter of params.yaml"
        place[key] = yaml.safe_load(value)
    return content


def test_params_yaml_names_every_parameter_and_no_other() -> None:
    """What is not named there cannot be set by `dvc exp run -S`, and no stage would run again for it."""
    read = read_params(ROOT / "params.yaml")
    written = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    named = {f"{section}.{key}" for section, values in written.items() for key in values}
    assert named == {f"{section}.{key}" for section, values in read.model_dump().items() for key in values}


def test_the_readme_documents_the_presets() -> None:
    assert [name for name, _ in PRESETS] == ["depthfield", "pix2pix", "lens"]


@pytest.mark.parametrize(("name", "line"), [entry for entry in LINES if entry[0] != "lens"])
def test_a_preset_of_the_readme_is_allowed_and_has_the_description_s_schedule(name: str, line: str) -> None:
    train = Params.model_validate(with_settings(line)).train
    assert (train.network, train.init, train.zoom, train.losses.ssim, train.losses.disparity) == (
        "unet",
        None,
        None,
        0,
        0,
    )
    assert (train.epochs, train.epochs_decay, train.batch, train.crop) == (100, 100, 12, 256)
    assert (train.learning_rate, train.betas) == (2e-4, (0.5, 0.999))
    assert (train.losses.l1 == 100) == (name == "pix2pix") == (train.losses.perceptual == 0)


@pytest.mark.parametrize("line", [line for name, line in LINES if name == "lens"])
def test_the_preset_lens_is_allowed_and_builds_a_lens_that_fits_its_crop(line: str) -> None:
    config = train_config(Params.model_validate(with_settings(line)).train)
    run = build_run(replace(config, init=None, imagenet=None), torch.device("cpu"))
    assert isinstance(run.generator, Lens)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("train: {epoch: 3}", "train.epoch: Extra inputs are not permitted"),
        ("train: {batch: 0}", "train.batch: Input should be greater than or equal to 1"),
        ("stack: {levels: [2]}", r"stack.levels.0: .*less than or equal to 1 \(got 2\)"),
        ("stack: {split: {validation: 0.6, test: 0.4}}", "must leave scenes for training"),
        ("train: [", "is not YAML"),
    ],
)
def test_what_is_not_allowed_is_named_in_one_line(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=words) as raised:
        read_params(tmp_path / "params.yaml")
    assert "\n" not in str(raised.value)


def test_a_folder_without_parameters_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no parameters at .*params.yaml: run in the folder"):
        read_params(tmp_path / "params.yaml")
