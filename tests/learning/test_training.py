"""Training learns, stops cleanly, and goes on bit for bit where it stopped."""

import copy
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from refocal.learning import gan, training
from refocal.learning.checkpoints import NAME, Run
from refocal.learning.gan import LossConfig, TrainConfig, build_run, gan_step, set_learning_rate
from refocal.learning.losses import lsgan_discriminator
from refocal.learning.networks.patchgan import PatchGANConfig
from refocal.learning.networks.unet import UNetConfig
from refocal.learning.training import train
from refocal.optics.scenes import Scene
from tiny_scenes import write_tiny_scenes

SPLITS = {"a": "train", "b": "train", "c": "train", "d": "validation", "e": "test"}
TINY = TrainConfig(
    unet=UNetConfig(num_downs=3, ngf=4),
    discriminator=PatchGANConfig(ndf=4, layers=1, sigma=True),
    losses=LossConfig(adversarial=1, perceptual=0, l1=10, layers=("relu1_1",)),
    epochs=2,
    epochs_decay=2,
    batch=4,
    crop=24,
    device="cpu",
    checkpoint_every=4,
    pictures_every=3,
)
ALL_LOSSES = replace(TINY, losses=replace(TINY.losses, perceptual=1))  # slower: VGG16 is built for each run
CPU = torch.device("cpu")
Curves = list[tuple[str, float, int]]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Networks this small only wait for a second thread, and long where other tests run beside."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Scene]:
    return write_tiny_scenes(tmp_path_factory.mktemp("scenes"), SPLITS)


def run_training(
    scenes: list[Scene], config: TrainConfig, folder: Path, **hooks: Callable[..., None]
) -> tuple[dict[str, Any], Curves]:
    """Train in `folder`; return the file written and what was logged."""
    curves: Curves = []
    hooks = {"log": lambda *entry: curves.append(entry), "say": lambda _: None} | hooks
    train(scenes, config, checkpoint_dir=folder / "checkpoints", output=folder / "generator.pt", **hooks)
    return torch.load(folder / "generator.pt", weights_only=True), curves


def saved_run(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(folder / "checkpoints" / NAME, weights_only=True)
    return content


def assert_equal(one: Any, two: Any, where: str = "") -> None:
    """Both hold the same, bit for bit."""
    assert type(one) is type(two), where
    if isinstance(one, torch.Tensor):
        assert one.dtype == two.dtype, where
        assert torch.equal(one, two), where
    elif isinstance(one, dict):
        assert list(one) == list(two), where
        for key in one:
            assert_equal(one[key], two[key], f"{where}/{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(two), where
        for number, pair in enumerate(zip(one, two, strict=True)):
            assert_equal(*pair, f"{where}/{number}")
    else:
        assert one == two, where


def test_the_optimizers_hold_all_parameters_with_the_description_s_rates() -> None:
    """The original lost its betas to a misspelt keyword: these are read off what was built."""
    run = build_run(TrainConfig(unet=TINY.unet, discriminator=TINY.discriminator), CPU)
    for network, optimizer in ((run.generator, run.optimizer_g), (run.discriminator, run.optimizer_d)):
        held = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
        assert sorted(held) == sorted(id(parameter) for parameter in network.parameters())
        assert type(optimizer) is torch.optim.Adam
        for group in optimizer.param_groups:
            assert (group["lr"], tuple(group["betas"]), group["weight_decay"]) == (2e-4, (0.5, 0.999), 0)


def test_one_step_changes_every_parameter_of_both_networks(scenes: list[Scene]) -> None:
    torch.manual_seed(0)
    run = build_run(TINY, CPU)
    before = {id(p): p.detach().clone() for n in (run.generator, run.discriminator) for p in n.parameters()}
    photo = torch.rand(4, 3, 24, 24) * 2 - 1
    target, sigma = photo.flip(3), torch.rand(4, 2)
    judge, made = copy.deepcopy(run.discriminator), copy.deepcopy(run.generator)(photo, sigma).detach()
    losses = gan_step(run, ALL_LOSSES, CPU)(photo, target, sigma)
    honest = lsgan_discriminator(judge(photo, target, sigma), judge(photo, made, sigma))
    assert torch.allclose(losses["discriminator"], honest)
    assert set(losses) == {"discriminator", "adversarial", "perceptual", "l1", "generator"}
    expected = losses["adversarial"] + losses["perceptual"] + 10 * losses["l1"]
    assert torch.allclose(losses["generator"], expected)
    for network in (run.generator, run.discriminator):
        for name, parameter in network.named_parameters():
            assert not torch.equal(parameter, before[id(parameter)]), name


def test_the_generator_s_step_leaves_the_discriminator_alone() -> None:
    """After its own step the discriminator gets no gradient: it moves once a step, towards its own loss."""
    torch.manual_seed(0)
    run = build_run(TINY, CPU)
    gan_step(run, TINY, CPU)(torch.rand(4, 3, 24, 24), torch.rand(4, 3, 24, 24), torch.rand(4, 2))
    one = [p.grad.clone() for p in run.discriminator.parameters() if p.grad is not None]
    torch.manual_seed(0)
    other = build_run(TINY, CPU)
    quiet = replace(TINY, losses=replace(TINY.losses, adversarial=1e-12))
    gan_step(other, quiet, CPU)(torch.rand(4, 3, 24, 24), torch.rand(4, 3, 24, 24), torch.rand(4, 2))
    assert_equal(one, [p.grad for p in other.discriminator.parameters()])


@pytest.mark.parametrize("name", ["adversarial", "perceptual", "l1"])
def test_a_loss_of_weight_0_is_not_computed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError(name)

    for function in {"adversarial": ("lsgan_generator", "lsgan_discriminator")}.get(name, (name,)):
        monkeypatch.setattr(gan, function, never)
    if name == "perceptual":
        monkeypatch.setattr(gan, "VGGFeatures", never)
    config = replace(TINY, losses=replace(ALL_LOSSES.losses, **{name: 0}))
    losses = gan_step(build_run(config, CPU), config, CPU)(*torch.rand(2, 4, 3, 24, 24), torch.rand(4, 2))
    assert name not in losses
    assert ("discriminator" in losses) is (name != "adversarial")


def test_the_rate_is_constant_and_then_falls_linearly_to_0() -> None:
    run = build_run(TINY, CPU)
    config = replace(TINY, epochs=100, epochs_decay=50)
    rates = [set_learning_rate(run, config, epoch) for epoch in (0, 50, 100, 125, 150)]
    assert rates == pytest.approx([2e-4, 2e-4, 2e-4, 1e-4, 0])
    assert {group["lr"] for o in (run.optimizer_g, run.optimizer_d) for group in o.param_groups} == {rates[-1]}
    assert set_learning_rate(run, replace(config, epochs_decay=0), 99.5) == 2e-4


@pytest.mark.parametrize(("residual", "of_copying"), [(False, 0.7), (True, 0.3)])
def test_it_learns(scenes: list[Scene], tmp_path: Path, residual: bool, of_copying: float) -> None:
    """A tiny network learns to darken by focus: its error falls far below that of the untrained and of the photo."""
    config = replace(
        TINY,
        unet=UNetConfig(num_downs=3, ngf=8, residual=residual),
        losses=LossConfig(adversarial=0.01, perceptual=0, l1=1),
        epochs=40,
        epochs_decay=15,
        learning_rate=2e-3,
        ema=0.98,
        crops_per_pair=2,
    )
    content, curves = run_training(scenes, config, tmp_path)
    error = [value for name, value, _ in curves if name == "validation/l1"]
    loss = [value for name, value, _ in curves if name == "loss/l1"]
    photo = scenes[3].photo() / 255
    of_the_photo = np.mean([abs(scenes[3].stack()[k] / 255 - photo).mean() for k in (0, 2, 3)])
    assert error[-1] < of_copying * of_the_photo
    assert error[-1] < 0.4 * error[0]
    assert loss[-1] < 0.5 * loss[0]
    assert content["about"]["training_data"]["images"] >= 18 * 55


def test_resumed_is_uninterrupted_bit_for_bit(
    scenes: list[Scene], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Networks, optimizers, average, random numbers and curves, after a kill at any step."""
    honest = gan.l1  # a part that draws random numbers, as a dropout would
    monkeypatch.setattr(gan, "l1", lambda *given: honest(*given) * (0.5 + torch.rand(())))
    whole, curves = run_training(scenes, replace(TINY, checkpoint_every=9), tmp_path / "whole")
    assert saved_run(tmp_path / "whole")["step"] == 9
    for killed_at in (3, 5, 8):
        folder = tmp_path / str(killed_at)

        def die(step: int, _steps: int, _speed: float, at: int = killed_at) -> None:
            if step == at:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run_training(scenes, replace(TINY, checkpoint_every=2), folder, progress=die)
        assert not (folder / "generator.pt").exists()
        assert saved_run(folder)["step"] == (killed_at - 1) // 2 * 2
        said: list[str] = []
        again, curves_again = run_training(scenes, replace(TINY, checkpoint_every=9), folder, say=said.append)
        assert_equal(again, whole)
        assert_equal(saved_run(folder), saved_run(tmp_path / "whole"))
        assert curves_again == curves
        assert said == [f"training goes on after step {(killed_at - 1) // 2 * 2}, from {folder / 'checkpoints'}"]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # torch's threads are not Python's
def test_workers_do_not_change_the_result(scenes: list[Scene], tmp_path: Path) -> None:
    one, _ = run_training(scenes, TINY, tmp_path / "one")
    two, _ = run_training(scenes, replace(TINY, workers=2), tmp_path / "two")
    assert_equal(one, two)


def test_a_checkpoint_of_other_parameters_or_data_is_left_aside(scenes: list[Scene], tmp_path: Path) -> None:
    run_training(scenes, TINY, tmp_path)
    other_config, other_data = replace(TINY, learning_rate=1e-4), scenes[1:]
    for config, data in ((other_config, scenes), (other_config, other_data)):
        fresh, _ = run_training(data, config, tmp_path / f"fresh{len(data)}")
        said: list[str] = []
        again, _ = run_training(data, config, tmp_path, say=said.append)
        assert_equal(again, fresh)
        assert len(said) == 1
        assert said[0].endswith("is of other parameters or data: training starts anew")


def test_a_damaged_checkpoint_is_named(scenes: list[Scene], tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / NAME).write_bytes(b"PK not a checkpoint")
    with pytest.raises(ValueError, match=r"checkpoint .*last.pt is damaged \(\w+\): remove it to start anew"):
        run_training(scenes, TINY, tmp_path)


@pytest.mark.parametrize(("name", "bad"), [("l1", float("nan")), ("perceptual", float("inf"))])
def test_a_loss_that_goes_is_named_with_its_step(
    scenes: list[Scene], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, bad: float
) -> None:
    """The last checkpoint stays, from before the loss went, and no generator is written."""
    calls, honest = 0, getattr(gan, name)

    def goes(*given: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return honest(*given) * (bad if calls == 7 else 1)

    monkeypatch.setattr(gan, name, goes)
    with pytest.raises(ValueError, match=rf"training stopped at step 7: loss {name} is {bad}; [^\n]*$"):
        run_training(scenes, ALL_LOSSES, tmp_path)
    kept = saved_run(tmp_path)
    assert kept["step"] == 4
    assert all(value.isfinite().all() for value in kept["generator"].values())
    assert not (tmp_path / "generator.pt").exists()


@pytest.mark.parametrize(("bad_step", "kept"), [(8, 4), (9, 8)])
def test_weights_that_go_while_losses_look_fine_are_never_saved(
    scenes: list[Scene], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad_step: int, kept: int
) -> None:
    calls, honest = 0, gan.l1

    def bad_gradient(image: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return honest(image, target) + ((image * 0).sum().sqrt() if calls == bad_step else 0)

    monkeypatch.setattr(gan, "l1", bad_gradient)
    with pytest.raises(ValueError, match=f"stopped at step {bad_step}: weights of the generator are not finite"):
        run_training(scenes, TINY, tmp_path)
    assert saved_run(tmp_path)["step"] == kept
    assert not (tmp_path / "generator.pt").exists()


def test_losses_read_late_are_blamed_on_their_own_step() -> None:
    """On a GPU the losses of several steps are read at once."""
    run = Run(*[torch.nn.Linear(1, 1)] * 3, *[torch.optim.Adam([torch.zeros(1)])] * 2, step=20)
    rows = [{"l1": torch.tensor(1.0 + i), "generator": torch.tensor(2.0)} for i in range(4)]
    training._read(rows, run)
    assert (run.sums, run.summed, rows) == ({"l1": 10.0, "generator": 8.0}, 4, [])
    rows = [{"l1": torch.tensor(1.0), "generator": torch.tensor(v)} for v in (2.0, float("nan"), 1.0)]
    with pytest.raises(ValueError, match="stopped at step 19: loss generator is nan"):
        training._read(rows, run)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_exits(scenes: list[Scene], tmp_path: Path, number: signal.Signals) -> None:
    with pytest.raises(SystemExit) as left:
        run_training(scenes, TINY, tmp_path, progress=lambda step, *_: step == 2 and os.kill(os.getpid(), number))
    assert left.value.code == 128 + number
    assert saved_run(tmp_path)["step"] == 3
    whole, _ = run_training(scenes, TINY, tmp_path / "whole")
    assert_equal(run_training(scenes, TINY, tmp_path)[0], whole)


def test_sigterm_ends_the_process_with_143_and_training_goes_on(tmp_path: Path) -> None:
    scenes = write_tiny_scenes(tmp_path / "scenes", SPLITS)
    script = (
        "import sys\n"
        f"sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[1])]!r}\n"
        "from pathlib import Path\n"
        "from dataclasses import replace\n"
        "from refocal.optics.scenes import read_scenes\n"
        "from test_training import TINY, run_training\n"
        f"config = replace(TINY, epochs=10**5, checkpoint_every=10**6)\n"
        f"run_training(read_scenes({str(tmp_path / 'scenes')!r}), config, Path({str(tmp_path)!r}),\n"
        "             progress=lambda step, steps, speed: print(step, flush=True))\n"
    )
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        steps = [process.stdout.readline().strip()]
        process.send_signal(signal.SIGTERM)
        steps += process.stdout.read().split()
    assert process.returncode == 143
    assert saved_run(tmp_path)["step"] == int(steps[-1])
    assert not (tmp_path / "generator.pt").exists()
    assert not list(tmp_path.rglob(".*.part"))
    said: list[str] = []
    config = replace(TINY, epochs=10**5, checkpoint_every=10**6)

    def enough(*_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_training(scenes, config, tmp_path, say=said.append, progress=enough)
    assert "goes on after step" in said[0]


def test_signals_are_as_before_when_training_is_over(scenes: list[Scene], tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    run_training(scenes, replace(TINY, epochs=0, epochs_decay=1), tmp_path)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_the_average_follows_the_generator_from_the_first_steps() -> None:
    """Short runs are not stuck at the random start; without a decay the average is the generator."""
    torch.manual_seed(0)
    run = build_run(TINY, CPU)
    start = [p.clone() for p in run.average.parameters()]
    step = gan_step(run, TINY, CPU)
    for _ in range(20):
        step(*torch.rand(2, 4, 3, 24, 24), torch.rand(4, 2))
    assert not any(p.requires_grad for p in run.average.parameters())
    moved = [
        (a - s).norm() / (g - s).norm()
        for a, s, g in zip(run.average.parameters(), start, run.generator.parameters(), strict=True)
    ]
    assert min(moved) > 0.3
    assert max(moved) < 1.0
    assert_equal(dict(run.average.named_buffers()), dict(run.generator.named_buffers()))
    run = build_run(replace(TINY, ema=0), CPU)
    gan_step(run, replace(TINY, ema=0), CPU)(*torch.rand(2, 4, 3, 24, 24), torch.rand(4, 2))
    assert_equal(run.average.state_dict(), run.generator.state_dict())


def test_the_file_says_what_it_was_made_of(scenes: list[Scene], tmp_path: Path) -> None:
    content, _ = run_training(scenes, TINY, tmp_path)
    again, _ = run_training(scenes, TINY, tmp_path / "again")
    assert_equal(again, content)
    about = json.loads(json.dumps(content["about"]))
    assert content["network"] == "unet"
    assert UNetConfig(**content["config"]) == TINY.unet
    assert content["aperture_scale"] == 5  # 4, 5, 6 px
    assert about["aperture_fraction"] == pytest.approx(5 / 48)
    assert about["aperture_range"] == [4, 6]
    assert about["training_data"]["scenes"] == 3
    assert about["training_data"]["levels"] == [-1, 0, 1]
    assert about["training_data"]["images"] == 36


def test_pictures_and_scores_of_the_validation_scenes_are_logged(scenes: list[Scene], tmp_path: Path) -> None:
    pictures: list[tuple[str, tuple[int, ...], int]] = []
    _, curves = run_training(
        scenes, TINY, tmp_path, log_image=lambda name, pixels, step: pictures.append((name, pixels.shape, step))
    )
    assert pictures == [("validation", (3 * 24, 3 * 24, 3), step) for step in (3, 6, 9)]
    assert [step for name, _, step in curves if name == "validation/psnr"] == [3, 6, 9]
    assert [step for name, _, step in curves if name == "loss/l1"] == [3, 5, 7, 9]
    rates = [value for name, value, _ in curves if name == "learning_rate"]
    assert rates[:2] == [2e-4, 2e-4]
    assert 0 < rates[-1] < rates[-2] < 2e-4


@pytest.mark.parametrize("changes", [{"precision": "bfloat16"}, {"channels_last": False}])
def test_other_precision_and_layout_compute_nearly_the_same(scenes: list[Scene], tmp_path: Path, changes: Any) -> None:
    _, plain = run_training(scenes, TINY, tmp_path / "plain")
    content, other = run_training(scenes, replace(TINY, **changes), tmp_path / "other")
    assert all(value.dtype in {torch.float32, torch.int64} for value in content["state"].values())
    assert [v for _, v, _ in other] == pytest.approx([v for _, v, _ in plain], rel=0.1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0, "epochs_decay": 0}, "at least one epoch"),
        ({"crop": 20}, "crop = 20 is no multiple of 8, which unet.num_downs = 3 asks for"),
        ({"crop": 48}, "scene a is 40 x 48 pixels"),
        ({"losses": LossConfig(0, 0, 0)}, "one must be above 0"),
        ({"device": "cuda"}, "torch finds no CUDA device"),
    ],
)
def test_what_cannot_be_trained_is_said_in_one_line(
    scenes: list[Scene], tmp_path: Path, changes: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        run_training(scenes, replace(TINY, **changes), tmp_path)
    assert "\n" not in str(caught.value)
