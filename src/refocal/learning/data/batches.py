"""Complete batches on the training device: crops, targets averaged from views there, rendered examples."""

import os
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from refocal.learning.config import TrainConfig
from refocal.learning.data.crops import Crops
from refocal.learning.data.sampling import IndexBatches, batch_indices
from refocal.learning.data.views import CropRequest, LightFields
from refocal.learning.examples import Example
from refocal.learning.rendered.composites import Composites
from refocal.learning.rendered.source import Rendered, textures_of
from refocal.learning.training.processes import ALONE, Processes
from refocal.shiftadd.slopes import FocusRange
from refocal.workers import leave_signals_to_the_parent

AHEAD = 4  # batches that a worker reads in advance
CHANNELS = 8  # numbers that an example has for each of its pixels


def check_shared_memory(config: TrainConfig, place: Path = Path("/dev/shm")) -> None:  # noqa: S108  where workers put batches
    """Refuse workers whose batches don't fit into shared memory: they would die of a bus error.

    Raises
    ------
    ValueError
        One line that says what is needed, what there is, and what helps.
    """
    if not config.workers or not place.is_dir():
        return
    status = os.statvfs(place)
    there = status.f_frsize * status.f_blocks
    needed = config.workers * AHEAD * config.batch * CHANNELS * 4 * config.crop**2
    if needed > there:
        raise ValueError(
            f"{config.workers} workers put up to {needed / 2**20:.0f} MiB of batches into {place}, which holds "
            f"{there / 2**20:.0f}: train.workers=0 does without, docker run --shm-size=2g makes it larger"
        )


class BatchStream:
    """All batches of a training, each a function of seed and step alone.

    Parameters
    ----------
    crops : Crops
        The crops of the scenes.
    config : TrainConfig
        How many of a batch are drawn, and how many crops are averaged from views.
    device : torch.device
        Where batches are wanted.
    processes : Processes
        This process takes its share of each batch.

    Raises
    ------
    ValueError
        One line: light fields without views where crops are to be averaged from them, or too many.
    """

    def __init__(self, crops: Crops, config: TrainConfig, device: torch.device, processes: Processes = ALONE) -> None:
        self.crops, self.config, self.device, self.processes = crops, config, device, processes
        self.drawn = round(config.rendered * config.batch)
        self.size = config.batch - self.drawn  # crops in a batch: epochs are passes over them
        processes.check_batch(self.drawn, self.size)
        self.source: Rendered | None = None
        if self.drawn:  # the photos of the training scenes are its textures
            textures = textures_of(crops.scenes, seed=config.seed, device=device)
            composites = Composites(crops.epoch_scenes(), device) if config.composites else None
            self.source = Rendered(
                textures,
                crop=config.crop,
                seed=config.seed,
                refocused=config.losses.compares_images,
                degraded=config.network != "deblur",  # whose slices are, in their place
                composites=composites,
                share=config.composites,
            )
        averaged = [scene for scene in crops.scenes if scene.kind == "light_field"] if crops.on_the_fly else []
        self.numbers = {scene: number for number, scene in enumerate(averaged)}
        self.fields = LightFields(averaged, device) if averaged else None

    def batches(self, first: int, steps: int) -> Iterator[Example]:
        """Yield the batches from step `first` up to step `steps`: one pass, so that workers never stop on the way."""
        loader = DataLoader(
            self.crops,
            batch_sampler=IndexBatches(first=first, steps=steps, size=self.size, share=self.processes.share),
            num_workers=self.config.workers,
            prefetch_factor=AHEAD if self.config.workers else None,
            pin_memory=self.device.type == "cuda",
            generator=torch.Generator(),  # its own: the networks' random numbers go on as if there were no loader
            worker_init_fn=leave_signals_to_the_parent,
        )
        for step, crops_read in enumerate(loader, first):
            batch = Example(*(part.to(self.device, non_blocking=True) for part in crops_read))
            if self.fields is not None:
                batch = batch._replace(target=self._averaged(batch.target, step, self.fields))
            if self.source is not None:
                drawn = (part[self.processes.share] for part in self.source.batch(step, self.drawn))
                batch = Example(*map(torch.cat, zip(batch, drawn, strict=True)))
            yield batch

    @torch.no_grad()
    def _averaged(self, target: torch.Tensor, step: int, fields: LightFields) -> torch.Tensor:
        """Return the targets of a step (N, 3, c, c), with those that are still missing."""
        indices = batch_indices(step, self.size, self.processes.share)
        placements = [self.crops.placement(index) for index in indices]
        missing = [number for number, placement in enumerate(placements) if placement.averaged]
        if not missing:
            return target
        cuts = []
        for placement in (placements[number] for number in missing):
            slope = float(FocusRange(*placement.scene.slope_range).slope(placement.focus))
            cuts.append(
                CropRequest(self.numbers[placement.scene], slope, placement.top, placement.left, placement.side)
            )
        target = target.clone()
        for number, square in zip(missing, fields.render(cuts), strict=True):
            target[number] = placements[number].picture(square, self.crops.crop)
        return target
