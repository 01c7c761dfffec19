"""Stage train: scenes/ -> models/generator.pt, with curves and pictures in dvclive/. `python -m refocal.stages.train`.

Stopped by Ctrl-C or SIGTERM it puts the run aside and goes on from there when called again.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from refocal.learning.config import LossConfig, TrainConfig
from refocal.learning.networks.deblur import DeblurConfig
from refocal.learning.networks.lens import LensConfig
from refocal.learning.networks.patchgan import PatchGANConfig
from refocal.learning.networks.unet import UNetConfig
from refocal.learning.training.loop import train
from refocal.params import Section, Train, read_params
from refocal.resources import cores
from refocal.scenes.scene import read_scenes
from refocal.stages import run
from refocal.workers import stop_signals

Log = Callable[[str, float, int], None]
LogImage = Callable[[str, NDArray[np.uint8], int], None]
LINE_EVERY = 10.0  # seconds, where no one watches a terminal


def train_config(section: Train, otherwise: Section | None = None) -> TrainConfig:
    """Return the plain values of a section of params.yaml, with those that another section has otherwise."""
    own = {} if otherwise is None else {name: getattr(otherwise, name) for name in type(otherwise).model_fields}
    values = section.model_copy(update=own).model_dump(exclude={"processes"})
    return TrainConfig(
        unet=UNetConfig(**values.pop("unet")),
        lens=LensConfig(**values.pop("lens")),
        deblur=DeblurConfig(**values.pop("deblur")),
        discriminator=PatchGANConfig(**values.pop("discriminator")),
        losses=LossConfig(**values.pop("losses")),
        **values,
    )


def launched(stage: str, processes: int) -> bool:
    """Run a stage in several processes, and tell whether that was done: not for one, nor in one of them.

    Raises
    ------
    SystemExit
        With the code of torchrun, where it is not 0.
    """
    if processes == 1 or "WORLD_SIZE" in os.environ:
        return False
    options = ["--standalone", f"--nproc-per-node={processes}"]
    started = subprocess.Popen(  # noqa: S603  our own module
        [sys.executable, "-m", "torch.distributed.run", *options, "-m", f"refocal.stages.{stage}"],
        env={"OMP_NUM_THREADS": str(max(1, cores() // processes)), **os.environ},
    )
    with stop_signals() as stops:
        while started.poll() is None:
            if stops:  # torchrun passes it on; each process saves once
                started.send_signal(stops[-1])
                stops.clear()
            with suppress(subprocess.TimeoutExpired):
                started.wait(0.5)
    if started.returncode:
        raise SystemExit(started.returncode)
    return True


@contextmanager
def shown(name: str) -> Iterator[Callable[[int, int, float], None]]:
    """Show progress as a bar on a terminal, else as a line every few seconds: step, images a second, time left."""
    console = Console()
    text = TextColumn("{task.fields[speed]:.1f} img/s")
    columns = (TextColumn(name), BarColumn(), MofNCompleteColumn(), text, TimeRemainingColumn())
    last_line = time.monotonic()
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=None, speed=0.0)

        def report(step: int, steps: int, speed: float) -> None:
            nonlocal last_line
            bar.update(task, completed=step, total=steps, speed=speed)
            if not console.is_terminal and (time.monotonic() - last_line >= LINE_EVERY or step == steps):
                last_line, left = time.monotonic(), bar.tasks[task].time_remaining
                print(f"{name}: step {step} of {steps}, {speed:.1f} img/s, {left or 0:.0f} s left", flush=True)

        yield report


@contextmanager
def curves(folder: str) -> Iterator[tuple[Log, LogImage | None]]:
    """Take losses, scores and pictures to a folder; without DVCLive, as on a borrowed GPU, print the numbers."""
    try:
        if not is_first():
            yield lambda *_: None, None
            return
        from dvclive.live import Live
    except ImportError:
        yield lambda name, value, step: print(f"train: {name} {value:.5g} at step {step}", flush=True), None
        return
    # dvc.yaml declares the plots, and DVC saves experiments: DVCLive only writes. What a stopped run logged is logged
    # again from its checkpoint, since DVC empties a stage's outputs before it runs.
    with Live(folder, save_dvc_exp=False, dvcyaml=None) as live:

        def log(name: str, value: float, step: int) -> None:
            live.step = step
            live.log_metric(name, value)
            live.make_summary()

        yield log, lambda name, pixels, step: live.log_image(f"{name}/{step:07d}.png", pixels)


def train_as(stage: str, config: TrainConfig, *, processes: int, output: Path, logs: str) -> None:
    """Train in as many processes, or go on with what a stopped run left in checkpoints/STAGE."""
    if launched(stage, processes):
        return
    checkpoints = Path("checkpoints") / stage
    with curves(logs) as (log, log_image), shown(stage) as progress:
        train(
            read_scenes(Path("scenes")),
            config,
            checkpoint_dir=checkpoints,
            output=output,
            log=log,
            log_image=log_image,
            progress=progress,
        )
    if is_first():
        shutil.rmtree(checkpoints, ignore_errors=True)


def is_first() -> bool:
    """Whether this is the one of several processes that writes, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def main() -> None:
    """Train the generator that refocuses."""
    section = read_params().train
    train_as(
        "train", train_config(section), processes=section.processes, output=Path("models/generator.pt"), logs="dvclive"
    )


if __name__ == "__main__":
    run(main)
