"""A training as a program, for torchrun: python shared_training.py JOB.json, which `shared` writes and runs."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from refocal.learning.config import LossConfig, TrainConfig
from refocal.learning.networks.deblur import DeblurConfig
from refocal.learning.training.loop import train
from refocal.learning.training.processes import joined
from refocal.scenes.scene import read_scenes

HERE = Path(__file__)


def configs() -> dict[str, TrainConfig]:
    """Return a small training of each generator, with every loss that counts a batch in its own way."""
    from tiny_training import TINY

    base = replace(TINY, batch=4, epochs=6, epochs_decay=3, learning_rate=1e-3, checkpoint_every=4, validate_every=8)
    lens = LossConfig(adversarial=0.1, perceptual=0, l1=10, ssim=1, disparity=1, order=1)
    deblur = DeblurConfig(widths=(4, 6), blocks=(1, 1))
    return {
        "unet": base,
        "lens": replace(base, network="lens", losses=lens, rendered=0.5, zoom=0.7),
        "depth": replace(base, network="lens", losses=replace(lens, adversarial=0, l1=0, ssim=0)),
        "deblur": replace(base, network="deblur", deblur=deblur, losses=replace(lens, disparity=0, order=0)),
    }


def shared(
    folder: Path, count: int, names: tuple[str, ...] = ("unet",), **more: Any
) -> subprocess.CompletedProcess[str]:
    """Run trainings in `count` processes; each writes FOLDER/NAME.json, its curves, and FOLDER/NAME.pt."""
    folder.mkdir(parents=True, exist_ok=True)
    job = folder / "job.json"
    job.write_text(json.dumps({"names": names, "folder": str(folder), **more}), encoding="utf-8")
    options = ["--standalone", f"--nproc-per-node={count}", *more.get("torchrun", [])]
    command = [sys.executable, "-m", "torch.distributed.run", *options] if count > 1 else [sys.executable]
    env = {**os.environ, "PYTHONPATH": str(HERE.parent), "OMP_NUM_THREADS": "1"}
    return subprocess.run([*command, str(HERE), str(job)], capture_output=True, text=True, env=env, check=False)


def stop(job: dict[str, Any], folder: Path, step: int) -> None:
    """Send this process a signal, once, after a step."""
    if step == job.get("stop_after") and not (folder / "stopped").exists():
        (folder / "stopped").touch()
        os.kill(os.getpid(), getattr(signal, job["signal"]))


def main() -> None:
    """Train, and die or stop on the way where the job says so."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    folder, rank = Path(job["folder"]), int(os.environ.get("RANK", "0"))
    torch.use_deterministic_algorithms(mode=False)
    for name in job["names"]:
        curves: list[tuple[str, float, int]] = []
        train(
            read_scenes(Path(job["scenes"])),
            configs()[name],
            checkpoint_dir=folder / f"{name}-checkpoint",
            output=folder / f"{name}.pt",
            log=lambda *entry, curves=curves: curves.append(entry),
            progress=lambda step, *_: stop(job, folder, step),
        )
        if rank == 0:
            (folder / f"{name}.json").write_text(json.dumps(curves), encoding="utf-8")


if __name__ == "__main__":
    try:
        with joined("cpu"):  # once for all trainings
            main()
    except ValueError as error:
        sys.exit(f"training: {error}")
