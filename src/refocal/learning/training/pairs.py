"""What a generator is given and what it should make of it, from a batch of examples."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from refocal.learning.config import TrainConfig
from refocal.learning.examples import DEGRADED, Example
from refocal.learning.networks.deblur import Deblur
from refocal.learning.networks.lens import Lens
from refocal.learning.networks.renderer import Renderer, defocus
from refocal.learning.rendered.camera import degrade
from refocal.learning.training.processes import ALONE, Processes

SHARP = 0.15  # share of the examples of a deblurring generator that are sharp already
Pairs = Callable[[Example, int], tuple[Tensor, Tensor]]


def pairs_for(generator: nn.Module, config: TrainConfig, sigma_scale: Tensor, processes: Processes = ALONE) -> Pairs:
    """Return the function that takes a batch and the number of its step to the pictures given and wanted.

    Both are (N, 3, c, c) in [-1, 1]. A U-Net is given the photo and wants the target; a lens generator too, and targets
    that no camera saw are rendered from the true disparity, with what is unknown as the farthest. A deblurring one is
    given the target, or rarely the photo, with noise and JPEG blocks and wants the photo with the very same: so it
    learns neither to raise noise nor to take it away, and to leave alone what is sharp.
    """
    layout = torch.channels_last if config.channels_last else torch.contiguous_format
    render: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None
    if isinstance(generator, Lens) and config.losses.compares_images:

        def render(photo: Tensor, disparity: Tensor, sigma: Tensor) -> Tensor:
            return generator.render(photo, disparity, sigma / sigma_scale, refine=False)

    elif isinstance(generator, Deblur):
        renderer = Renderer(config.lens.pupil).to(sigma_scale.device)

        def render(photo: Tensor, disparity: Tensor, sigma: Tensor) -> Tensor:
            focus, aperture = sigma[:, 0, None, None, None], sigma[:, 1, None, None, None]
            return defocus(renderer, photo, aperture * (focus - disparity) / 2, config.lens.highlights)

    @torch.no_grad()
    def pairs(batch: Example, step: int) -> tuple[Tensor, Tensor]:
        photo = (batch.photo * 2 - 1).to(memory_format=layout)
        target = (batch.target * 2 - 1).to(memory_format=layout)
        unseen = ~batch.real
        if render is not None and bool(unseen.any()):
            target[unseen] = render(photo[unseen], batch.disparity[unseen].nan_to_num(-1), batch.sigma[unseen])
        if not isinstance(generator, Deblur):
            return photo, target
        random = np.random.default_rng([config.seed, DEGRADED, step])
        count = len(photo) * processes.count
        sharp = torch.tensor((random.random((count, 1, 1, 1)) < SHARP)[processes.share], device=photo.device)
        blurred = (torch.where(sharp, photo, target) + 1) / 2
        seen = degrade(random, blurred, processes.share, count)
        wanted = ((photo + 1) / 2 + seen - blurred).clamp(0, 1)
        return seen * 2 - 1, wanted * 2 - 1

    return pairs
