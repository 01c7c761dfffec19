"""params.yaml is checked before anything runs; every preset is allowed and builds its networks."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from refocal.learning.networks.deblur import Deblur
from refocal.learning.networks.lens import Lens
from refocal.learning.networks.unet import UNet
from refocal.learning.training.gan import build_run
from refocal.params import Params, read_params
from refocal.stages import preset
from refocal.stages.train import train_config

ROOT = Path(__file__).parents[1]
PRESETS = ("depthfield", "lens", "lens_depth", "pix2pix", "refocusgan", "sample")


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def chosen(name: str) -> Params:
    """Return params.yaml as `dvc exp run $(python -m refocal.stages.preset NAME)` would set it; a key must be there."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    words = preset.options(name)
    assert set(words[::2]) == {"-S"}
    for word in words[1::2]:
        assert " " not in word, "the shell would split it"
        path, value = word.split("=", 1)
        *sections, key = path.split(".")
        place = content
        for section in sections:
            place = place[section]
        assert key in place, f"{path} is no parameter of params.yaml"
        place[key] = yaml.safe_load(value.replace(":", ": ")) if value.startswith("{") else yaml.safe_load(value)
    return Params.model_validate(content)


def test_params_yaml_names_every_parameter_and_no_other() -> None:
    """What is not named there cannot be set by `dvc exp run -S`, and no stage would run again for it."""

    def names(sections: dict[str, Any]) -> set[str]:
        tables = {section: values for section, values in sections.items() if isinstance(values, dict)}
        return {f"{section}.{key}" for section, values in tables.items() for key in values} | sections.keys()

    read = read_params(ROOT / "params.yaml")
    assert names(yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))) == names(read.model_dump())


def test_the_presets_are_those_that_the_documentation_names() -> None:
    assert tuple(preset.presets()) == PRESETS
    table = (ROOT / "docs" / "training.md").read_text(encoding="utf-8").partition("## Presets")[2]
    assert all(f"`{name}`" in table for name in PRESETS)


def test_the_preset_sample_is_what_params_yaml_holds() -> None:
    assert chosen("sample") == read_params(ROOT / "params.yaml")


@pytest.mark.parametrize("name", ["depthfield", "pix2pix"])
def test_a_preset_of_the_description_has_its_schedule_and_builds_its_networks(name: str) -> None:
    params = chosen(name)
    train = params.train
    assert params.preset == name
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
    run = build_run(train_config(train), torch.device("cpu"))
    assert isinstance(run.generator, UNet)
    assert sum(weights.numel() for weights in run.generator.parameters()) == pytest.approx(21.3e6, rel=0.005)


@pytest.mark.parametrize("name", ["lens_depth", "lens", "sample"])
def test_a_preset_of_the_lens_builds_a_lens_that_fits_its_crop(name: str) -> None:
    train = chosen(name).train
    run = build_run(replace(train_config(train), init=None, imagenet=None), torch.device("cpu"))
    assert isinstance(run.generator, Lens)
    assert train.losses.disparity > 0
    assert (train.losses.l1 > 0) == (name != "lens_depth")


def test_the_preset_of_both_stages_trains_two_conditional_gans_with_the_losses_of_the_paper() -> None:
    params = chosen("refocusgan")
    for config in (train_config(params.train), train_config(params.train, params.deblur)):
        losses = config.losses
        assert min(losses.adversarial, losses.perceptual, losses.l1) > 0 == losses.ssim
        assert (config.init, config.crop, config.epochs) == (None, 256, 100)
        run = build_run(config, torch.device("cpu"))
        assert isinstance(run.generator, Deblur if config.network == "deblur" else UNet)


def test_a_preset_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert preset.main(["depthfeild"]) == 2
    names = "depthfield, lens, lens_depth, pix2pix, refocusgan, sample"
    assert capsys.readouterr().err == f"preset: there is no preset depthfeild: one of {names} is wanted\n"
    assert preset.main([]) == 2


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
