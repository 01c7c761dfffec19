"""A look at the generator while it trains: L1 and PSNR on the middle of the validation scenes, and pictures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from refocal.learning.dataset import centre_crops
from refocal.learning.sampling import check_sizes, trained_pairs
from refocal.optics.scenes import Scene

MOST = 48  # crops looked at, evenly over scenes and levels: a look must stay cheap beside the training
ROWS = 4  # in a picture
AT_ONCE = 8  # crops in a forward pass


@dataclass(frozen=True)
class Examples:
    """Fixed crops to look at.

    Attributes
    ----------
    photos, targets : Tensor
        (N, 3, c, c) float32 in [0, 1].
    sigmas : Tensor
        (N, 2): focus and aperture in pixels.
    """

    photos: Tensor
    targets: Tensor
    sigmas: Tensor

    @classmethod
    def of(cls, scenes: Sequence[Scene], crop: int, *, whole: bool = False) -> "Examples | None":
        """Take the middle of the validation scenes at their trained levels; None where there are no such scenes.

        `whole`: the largest square, resized, instead of `crop` pixels as they are.
        """
        pairs = [pair for pair in trained_pairs(scenes, "validation") if pair[1] >= 0]
        if not pairs:
            return None
        if not whole:
            check_sizes(pairs, crop)
        chosen = [pairs[i] for i in _spread(len(pairs), MOST)]
        return cls(*centre_crops(chosen, crop, whole=whole))


@torch.no_grad()
def refocus(generator: nn.Module, examples: Examples, sigma_scale: Tensor) -> Tensor:
    """Return the generator's (N, 3, c, c) float32 in [0, 1] on the CPU for all examples."""
    device, made = sigma_scale.device, []
    for at in range(0, len(examples.photos), AT_ONCE):
        photos, sigmas = (part[at : at + AT_ONCE].to(device) for part in (examples.photos, examples.sigmas))
        made.append(generator(photos * 2 - 1, sigmas / sigma_scale).float().cpu())
    return (torch.cat(made) + 1) / 2


def scores(made: Tensor, examples: Examples) -> dict[str, float]:
    """Return the mean over the examples of L1 and of PSNR (dB, data range 1)."""
    error = made - examples.targets
    squares = error.square().mean(dim=(1, 2, 3)).clamp(min=1e-10)
    return {"l1": float(error.abs().mean()), "psnr": float((-10 * squares.log10()).mean())}


def picture(made: Tensor, examples: Examples) -> NDArray[np.uint8]:
    """Return rows of photo | ours | truth, (rows * c, 3 c, 3), for a few examples spread over scenes and levels."""
    rows = [
        torch.cat([examples.photos[i], made[i], examples.targets[i]], dim=2) for i in _spread(len(made), ROWS)
    ]  # each (3, c, 3 c)
    sheet = torch.cat(rows, dim=1).clamp(0, 1).mul(255).round().byte()
    return np.ascontiguousarray(sheet.permute(1, 2, 0).numpy())


def _spread(count: int, most: int) -> list[int]:
    """Return at most `most` different numbers below `count`, evenly spread, the first and the last among them."""
    return sorted({round(i) for i in np.linspace(0, count - 1, min(count, most))})
