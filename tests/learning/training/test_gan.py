"""One step of the game: every network moves by its own loss, and what is not asked for is not computed."""

import copy
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from tiny_training import TINY, assert_equal, random_batch

from refocal.learning.config import LossConfig, TrainConfig
from refocal.learning.networks.lens import Lens
from refocal.learning.training import gan
from refocal.learning.training.checkpoints import save_beside
from refocal.learning.training.gan import build_run, computes_in_bfloat16, gan_step, set_learning_rate
from refocal.learning.training.losses import lsgan_discriminator

ALL_LOSSES = replace(TINY, losses=replace(TINY.losses, perceptual=1, ssim=1))
LENS = replace(TINY, network="lens", losses=LossConfig(adversarial=1, perceptual=0, l1=10, disparity=2))
CPU, SCALE = torch.device("cpu"), torch.tensor([1.0, 5.0])


def test_the_optimizers_hold_all_parameters_with_the_description_s_rates() -> None:
    """The original lost its betas to a misspelt keyword: these are read off what was built."""
    run = build_run(TrainConfig(unet=TINY.unet, discriminator=TINY.discriminator), CPU)
    for network, optimizer in ((run.generator, run.optimizer_g), (run.discriminator, run.optimizer_d)):
        held = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
        assert sorted(held) == sorted(id(parameter) for parameter in network.parameters())
        assert type(optimizer) is torch.optim.Adam
        for group in optimizer.param_groups:
            assert (group["lr"], tuple(group["betas"]), group["weight_decay"]) == (2e-4, (0.5, 0.999), 0)


def test_one_step_changes_every_parameter_of_both_networks() -> None:
    torch.manual_seed(0)
    run = build_run(TINY, CPU)
    before = {id(p): p.detach().clone() for n in (run.generator, run.discriminator) for p in n.parameters()}
    batch = random_batch()
    photo, target, sigma = batch.photo * 2 - 1, batch.target * 2 - 1, batch.sigma / SCALE
    judge, made = copy.deepcopy(run.discriminator), copy.deepcopy(run.generator)(photo, sigma).detach()
    losses = gan_step(run, ALL_LOSSES, SCALE)(batch)
    honest = lsgan_discriminator(judge(photo, target, sigma), judge(photo, made, sigma))
    assert torch.allclose(losses["discriminator"], honest)
    assert set(losses) == {"discriminator", "adversarial", "perceptual", "l1", "ssim", "generator"}
    expected = losses["adversarial"] + losses["perceptual"] + 10 * losses["l1"] + losses["ssim"]
    assert torch.allclose(losses["generator"], expected)
    for network in (run.generator, run.discriminator):
        for name, parameter in network.named_parameters():
            assert not torch.equal(parameter, before[id(parameter)]), name


def test_the_generator_s_step_leaves_the_discriminator_alone() -> None:
    """After its own step the discriminator gets no gradient: it moves once a step, towards its own loss."""
    torch.manual_seed(0)
    run = build_run(TINY, CPU)
    gan_step(run, TINY, SCALE)(random_batch())
    one = [p.grad.clone() for p in run.discriminator.parameters() if p.grad is not None]
    torch.manual_seed(0)
    other = build_run(TINY, CPU)
    quiet = replace(TINY, losses=replace(TINY.losses, adversarial=1e-12))
    gan_step(other, quiet, SCALE)(random_batch())
    assert_equal(one, [p.grad for p in other.discriminator.parameters()])


@pytest.mark.parametrize("name", ["adversarial", "perceptual", "l1", "ssim"])
def test_a_loss_of_weight_0_is_not_computed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError(name)

    functions = {"adversarial": ("lsgan_generator", "lsgan_discriminator"), "ssim": ("dissimilarity",)}
    for function in functions.get(name, (name,)):
        monkeypatch.setattr(gan, function, never)
    if name == "perceptual":
        monkeypatch.setattr(gan, "VGGFeatures", never)
    config = replace(TINY, losses=replace(ALL_LOSSES.losses, **{name: 0}))
    losses = gan_step(build_run(config, CPU), config, SCALE)(random_batch())
    assert name not in losses
    assert ("discriminator" in losses) is (name != "adversarial")


def test_the_encoder_of_a_lens_learns_at_its_share_of_the_rate() -> None:
    config = replace(LENS, epochs=1, epochs_decay=2, learning_rate=1, encoder_rate=0.1)
    run = build_run(config, CPU)
    assert set_learning_rate(run, config, 2) == 0.5
    rates = {id(p): group["lr"] for group in run.optimizer_g.param_groups for p in group["params"]}
    for name, parameter in run.generator.named_parameters():
        assert rates[id(parameter)] == pytest.approx(0.05 if ".encoder." in name else 0.5), name
    assert [group["lr"] for group in run.optimizer_d.param_groups] == [0.5]


def test_what_goes_on_from_a_generator_keeps_the_first_stages_as_imagenet_taught_them(tmp_path: Path) -> None:
    sizes = replace(LENS.lens, encoder="efficientnet_lite0", widths=(4, 6, 8, 8), blocks=(1,) * 4)
    lens = replace(LENS, lens=sizes, crop=32)
    first = build_run(lens, CPU).generator
    assert all(parameter.requires_grad for parameter in first.parameters())
    save_beside(tmp_path / "g.pt", {"config": asdict(sizes), "state": first.state_dict()})
    again = build_run(replace(lens, init=str(tmp_path / "g.pt")), CPU).generator
    kept = {name for name, parameter in again.named_parameters() if not parameter.requires_grad}
    early = tuple(f"analyser.encoder.{part}." for part in ("stem", "stages.0", "stages.1"))
    assert kept == {name for name, _ in again.named_parameters() if name.startswith(early)} != set()


def test_the_rate_is_constant_and_then_falls_linearly_to_0() -> None:
    run = build_run(TINY, CPU)
    config = replace(TINY, epochs=100, epochs_decay=50)
    rates = [set_learning_rate(run, config, epoch) for epoch in (0, 50, 100, 125, 150)]
    assert rates == pytest.approx([2e-4, 2e-4, 2e-4, 1e-4, 0])
    assert {group["lr"] for o in (run.optimizer_g, run.optimizer_d) for group in o.param_groups} == {rates[-1]}
    assert set_learning_rate(run, replace(config, epochs_decay=0), 99.5) == 2e-4


def test_the_average_follows_the_generator_from_the_first_steps() -> None:
    """Short runs are not stuck at the random start; without a decay the average is the generator."""
    torch.manual_seed(0)
    run = build_run(TINY, CPU)
    start = [p.clone() for p in run.average.parameters()]
    step = gan_step(run, TINY, SCALE)
    for _ in range(20):
        step(random_batch())
    assert not any(p.requires_grad for p in run.average.parameters())
    moved = [
        (a - s).norm() / (g - s).norm()
        for a, s, g in zip(run.average.parameters(), start, run.generator.parameters(), strict=True)
    ]
    assert min(moved) > 0.3
    assert max(moved) < 1.0
    assert_equal(dict(run.average.named_buffers()), dict(run.generator.named_buffers()))
    run = build_run(replace(TINY, ema=0), CPU)
    gan_step(run, replace(TINY, ema=0), SCALE)(random_batch())
    assert_equal(run.average.state_dict(), run.generator.state_dict())


def test_one_step_changes_every_parameter_of_a_lens_too() -> None:
    """Two steps do: a refiner that starts at no change passes no gradient on in the first."""
    torch.manual_seed(0)
    run = build_run(replace(LENS, given_disparity=0), CPU, 5.0)
    before = {name: p.detach().clone() for name, p in run.generator.named_parameters()}
    step = gan_step(run, replace(LENS, given_disparity=0), SCALE)
    losses = step(random_batch())
    assert set(losses) == {"discriminator", "adversarial", "l1", "disparity", "generator"}
    expected = losses["adversarial"] + 10 * losses["l1"] + 2 * losses["disparity"]
    assert torch.allclose(losses["generator"], expected)
    step(random_batch())
    for name, parameter in run.generator.named_parameters():
        assert not torch.equal(parameter, before[name]), name


def test_a_told_disparity_is_rendered_with_and_an_unknown_one_is_found() -> None:
    """Told everywhere, the picture says nothing of what the network found; where it is unknown, nothing else can."""
    config = replace(LENS, given_disparity=1, losses=LossConfig(adversarial=0, perceptual=0, l1=1))
    for known in (True, False):
        torch.manual_seed(0)
        run = build_run(config, CPU, 5.0)
        gan_step(run, config, SCALE)(random_batch(known=known))
        assert isinstance(run.generator, Lens)
        moved = sum(float(p.grad.abs().sum()) for p in run.generator.analyser.parameters() if p.grad is not None)
        assert (moved == 0) == known


def test_what_no_camera_saw_is_rendered_from_the_true_disparity() -> None:
    """The target of such a crop counts for nothing, and a lens that is told all of it is already right."""
    torch.manual_seed(0)
    config = replace(LENS, given_disparity=1, losses=LossConfig(adversarial=0, perceptual=0, l1=1))
    run = build_run(config, CPU, 5.0)
    assert float(gan_step(run, config, SCALE)(random_batch(real=False))["l1"]) < 1e-6
    assert float(gan_step(run, config, SCALE)(random_batch(real=True))["l1"]) > 0.1


def test_the_disparity_alone_can_be_trained() -> None:
    """Nothing is rendered then, and the refiner stays as it is."""
    config = replace(LENS, losses=LossConfig(adversarial=0, perceptual=0, l1=0, disparity=1))
    run = build_run(config, CPU, 5.0)
    assert set(gan_step(run, config, SCALE)(random_batch())) == {"disparity", "generator"}
    assert isinstance(run.generator, Lens)
    assert run.generator.refiner is not None
    assert all(p.grad is None for p in run.generator.refiner.parameters())
    assert all(p.grad is not None for p in run.generator.analyser.parameters())


@pytest.mark.parametrize(
    ("precision", "device", "capability", "wanted"),
    [
        ("float32", "cuda", (9, 0), False),
        ("bfloat16", "cuda", (9, 0), True),
        ("bfloat16", "cuda", (7, 5), False),  # a T4 emulates it, slowly
        ("bfloat16", "cpu", (0, 0), True),
    ],
)
def test_bfloat16_is_used_where_there_is_hardware_for_it(
    monkeypatch: pytest.MonkeyPatch, precision: str, device: str, capability: tuple[int, int], wanted: bool
) -> None:
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda _: capability)
    assert computes_in_bfloat16(TrainConfig(precision=precision), torch.device(device)) == wanted
