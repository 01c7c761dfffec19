"""The training loop: a conditional GAN on (photo, focus, aperture) -> refocused photo."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from refocal.learning.config import TrainConfig
from refocal.learning.data.batches import BatchStream, check_shared_memory
from refocal.learning.data.crops import Crops
from refocal.learning.training.checkpoints import Run, fingerprint, load_checkpoint, save_beside, save_checkpoint
from refocal.learning.training.gan import build_run, choose_device, computes_in_bfloat16, gan_step, set_learning_rate
from refocal.learning.training.processes import Processes, joined
from refocal.learning.training.provenance import about
from refocal.learning.training.validation import ValidationCrops, picture, selection_score, validate, validation_crops
from refocal.scenes.scene import Scene
from refocal.workers import stop_signals

NO_EFFECT = ("workers", "checkpoint_every", "validate_every")  # on what is computed: free to change when resuming
READ_EVERY = 10  # steps between readings of the losses: a GPU would have to wait for each


@dataclass(frozen=True)
class Hooks:
    """Callbacks of a training; see `train`."""

    log: Callable[[str, float, int], None]
    log_image: Callable[[str, NDArray[np.uint8], int], None] | None
    progress: Callable[[int, int, float], None] | None
    say: Callable[[str], None]
    save: Callable[[Run], None] = lambda _: None


def train(
    scenes: Sequence[Scene],
    config: TrainConfig,
    *,
    checkpoint_dir: str | Path,
    output: str | Path,
    log: Callable[[str, float, int], None],
    log_image: Callable[[str, NDArray[np.uint8], int], None] | None = None,
    progress: Callable[[int, int, float], None] | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Train a generator on the scenes of split "train" and write its moving average, as it was when it was best.

    The best is that of the highest `selection_score` on the validation scenes, the start included: a training
    that starts from a generator never ends worse. Without such scenes it is the last.

    Parameters
    ----------
    scenes : sequence of Scene
        Prepared scenes of all splits; those of "validation" are scored before the first step, every
        `validate_every` steps and at the end, those of "test" never.
    config : TrainConfig
        What to train and how.
    checkpoint_dir : path
        Folder of the checkpoint, which is written every `checkpoint_every` steps and resumed from. The caller removes
        it.
    output : path
        The file to write, for `torch.load(weights_only=True)`: {"network", "config", "state", "aperture_scale",
        "about"}.
    log : callable (name, value, step)
        Takes the mean of each loss after every epoch, and the scores on the validation scenes. A resumed run logs again
        what was logged before its checkpoint.
    log_image : callable (name, uint8 (H, W, 3), step), optional
        Takes pictures of validation crops, rows of photo | ours | truth.
    progress : callable (steps done, all steps, images a second), optional
        Called after every few steps.
    say : callable
        Takes lines of text.

    Raises
    ------
    ValueError
        One line: nothing to train on, a crop that does not fit, or a loss that is no longer finite.
    SystemExit
        128 + the signal's number after SIGTERM or SIGINT: a checkpoint is saved, and training again resumes from it.

    Notes
    -----
    The learning rate falls with every step, not with every epoch as in pix2pix: over 100 epochs that differs by at
    most 1 % of the start, and a run of two epochs has no jump. On a CPU, resumed equals uninterrupted bit for bit.
    """
    if round(config.rendered * config.batch) >= config.batch:
        raise ValueError(f"rendered = {config.rendered:g} leaves no crop in a batch of {config.batch}: make it less")
    check_shared_memory(config)
    with joined(config.device) as processes:
        first = processes.first
        hooks = Hooks(
            log if first else lambda *_: None,
            log_image if first else None,
            progress if first else None,
            say if first else lambda _: None,
        )
        _train(scenes, config, Path(checkpoint_dir), Path(output), hooks, processes)


def _train(
    scenes: Sequence[Scene], config: TrainConfig, folder: Path, output: Path, hooks: Hooks, processes: Processes
) -> None:
    """Train in one of several processes, of which the first writes."""
    device = choose_device(config.device)
    if config.precision == "bfloat16" and not computes_in_bfloat16(config, device):
        hooks.say("this GPU has no bfloat16 (NVIDIA's have from Ampere on): training computes in float32")
    torch.backends.cudnn.benchmark = device.type == "cuda"  # all crops have one size: worth choosing kernels for it
    torch.manual_seed(config.seed)
    crops = Crops(
        scenes,
        crop=config.crop,
        seed=config.seed,
        crops_per_pair=config.crops_per_pair,
        zoom=config.zoom,
        weights=config.weights,
        jitter=config.jitter,
        on_the_fly=config.on_the_fly,
    )
    feed = BatchStream(crops, config, device, processes)
    validation = validation_crops(scenes, config.crop, whole=config.zoom is not None, network=config.network)
    scale = float(np.median([scene.lens_aperture for scene in crops.scenes if scene.focus] or [config.crop / 32]))
    run = build_run(config, device, scale)
    mark = fingerprint({key: value for key, value in asdict(config).items() if key not in NO_EFFECT}, scenes)
    if load_checkpoint(folder, run, mark, hooks.say):
        hooks.say(f"training goes on after step {run.step}, from {folder}")
        for entry in run.curves:
            hooks.log(*entry)
    saved = replace(hooks, save=lambda now: save_checkpoint(folder, now, mark))
    sigma_scale = torch.tensor([1, scale], device=device)
    _loop(run, config, feed, validation, sigma_scale=sigma_scale, hooks=saved, processes=processes)
    if not processes.first:
        return
    state = {name: value.cpu().contiguous() for name, value in run.average.state_dict().items()}
    if run.best is not None:
        state = run.best.state
        score = f"{run.best.name} {abs(run.best.score):.4g}"
        hooks.say(f"kept step {run.best.step} of {run.step}: {score} on validation scenes")
    content = {"network": config.network, "config": asdict(config.own), "state": state, "aperture_scale": scale}
    save_beside(output, content | {"about": about(crops, config, run)})


def _loop(
    run: Run,
    config: TrainConfig,
    feed: BatchStream,
    validation: ValidationCrops,
    *,
    sigma_scale: Tensor,
    hooks: Hooks,
    processes: Processes,
) -> None:
    """Take the steps that are left; the first process alone logs and saves."""
    device = sigma_scale.device
    size, epoch = feed.size, len(feed.crops)
    step = gan_step(run, config, sigma_scale, processes)
    steps = math.ceil(epoch * (config.epochs + config.epochs_decay) / size)
    unread: list[dict[str, Tensor]] = []
    clock: tuple[float, int] | None = None  # starts after the first reading: kernels are chosen and compiled by then

    with stop_signals() as stops:
        if run.step == 0:
            _validate(run, config, validation, sigma_scale, hooks)
        for batch in feed.batches(run.step, steps):
            rate = set_learning_rate(run, config, epoch=run.step * size / epoch)
            unread.append(step(batch))

            epoch_ends = run.step * size // epoch > (run.step - 1) * size // epoch
            validates = run.step % config.validate_every == 0 or run.step == steps
            saves = run.step % config.checkpoint_every == 0
            stop = 0
            if epoch_ends or validates or saves or device.type == "cpu" or len(unread) >= READ_EVERY:
                stop = processes.highest(stops[-1] if stops else 0)  # read once: a signal may come at any time
                _read(unread, run, processes)
                now = time.perf_counter()
                clock = clock or (now, run.step)
                if hooks.progress:
                    speed = (run.step - clock[1]) * config.batch / (now - clock[0]) if now > clock[0] else 0.0
                    hooks.progress(run.step, steps, speed)
            if epoch_ends:
                for name, value in run.sums.items():
                    _record(run, hooks, f"loss/{name}", value / run.summed)
                _record(run, hooks, "learning_rate", rate)
                run.sums, run.summed = {}, 0
            if validates:
                _validate(run, config, validation, sigma_scale, hooks)
            if saves or stop or run.step == steps:
                _check_weights(run)
            if (saves or stop) and processes.first:
                hooks.save(run)
            if stop:
                raise SystemExit(128 + stop)


def _validate(run: Run, config: TrainConfig, validation: ValidationCrops, sigma_scale: Tensor, hooks: Hooks) -> None:
    """Score the moving average on the validation scenes, and keep it if it is the best so far."""
    found, made = validate(run.average, validation, sigma_scale)
    for name, value in found.items():
        _record(run, hooks, f"validation/{name}", value)
    best = selection_score(found, config.losses)
    if best is not None:
        run.keep_if_best(*best)
    if hooks.log_image and made is not None and validation.trained is not None:
        hooks.log_image("validation", picture(made, validation.trained), run.step)


def _record(run: Run, hooks: Hooks, name: str, value: float) -> None:
    run.curves.append((name, value, run.step))
    hooks.log(name, value, run.step)


def _read(unread: list[dict[str, Tensor]], run: Run, processes: Processes) -> None:
    """Add the losses of the last steps to the sums of the epoch; stop where one is not finite.

    This comes before anything is saved: the last checkpoint is from before the loss went.
    """
    values = processes.mean(torch.stack([torch.stack(list(losses.values())) for losses in unread])).tolist()
    for back, row in zip(range(len(values) - 1, -1, -1), values, strict=True):
        for name, value in zip(unread[0], row, strict=True):
            if not math.isfinite(value):
                raise ValueError(
                    f"training stopped at step {run.step - back}: loss {name} is {value}; "
                    "a lower learning_rate or other loss weights may help"
                )
            run.sums[name] = run.sums.get(name, 0.0) + value
        run.summed += 1
    unread.clear()


def _check_weights(run: Run) -> None:
    """Stop where a finite loss had gradients that were not: neither checkpoint nor generator may carry that on."""
    for name, network in (("generator", run.generator), ("discriminator", run.discriminator)):
        if not all(bool(value.isfinite().all()) for value in network.state_dict().values()):
            raise ValueError(
                f"training stopped at step {run.step}: weights of the {name} are not finite; "
                "a lower learning_rate or other loss weights may help"
            )
