"""Validation while training: scores and images of fixed crops of the validation scenes."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from refocal.learning.config import LossConfig
from refocal.learning.data.crops import centre_crops
from refocal.learning.data.sampling import Pair, check_sizes, trained_pairs
from refocal.learning.examples import Example
from refocal.learning.networks.lens import Lens
from refocal.learning.training.losses import disparity_error, order_error
from refocal.scenes.scene import Scene

MOST = 48  # crops scored, evenly over scenes and levels: validation must stay cheap beside the training
MOST_BETWEEN = 16  # of levels never trained on
ROWS = 4  # in a picture
AT_ONCE = 8  # crops in a forward pass


class ValidationCrops(NamedTuple):
    """Fixed crops of the validation scenes, each a batch, or None where there is nothing of the kind.

    Attributes
    ----------
    trained : Example
        Levels that are trained on.
    between : Example
        Levels that never are; for a lens generator, which knows focus as a number.
    known : Example
        One a scene, of every kind, for the disparity; for a lens generator too.
    """

    trained: Example | None
    between: Example | None
    known: Example | None


def validation_crops(
    scenes: Sequence[Scene], crop: int, *, whole: bool = False, network: str = "unet"
) -> ValidationCrops:
    """Take the middle of the validation scenes.

    `whole`: the largest square, resized, instead of `crop` pixels as they are. Of a network "deblur" photo and target
    change places: what is given is the slice.
    """
    all_pairs = trained_pairs(scenes, "validation")
    one_each = [(scene, -1) for scene in dict.fromkeys(scene for scene, _ in all_pairs)]
    between = [(scene, level) for scene, _ in one_each for level, seen in enumerate(scene.trained) if not seen]

    def taken(pairs: list[Pair], most: int) -> Example | None:
        if not pairs:
            return None
        if not whole:
            check_sizes(pairs, crop)
        crops = centre_crops([pairs[i] for i in _spread(len(pairs), most)], crop, whole=whole)
        return crops._replace(photo=crops.target, target=crops.photo) if network == "deblur" else crops

    return ValidationCrops(
        taken([pair for pair in all_pairs if pair[1] >= 0], MOST),
        taken(between, MOST_BETWEEN) if network == "lens" else None,
        taken(one_each, MOST) if network == "lens" else None,
    )


@torch.no_grad()
def validate(
    generator: nn.Module, validation: ValidationCrops, sigma_scale: Tensor
) -> tuple[dict[str, float], Tensor | None]:
    """Return scores, and the pictures (N, 3, c, c) of the crops of trained levels in float32 on the CPU.

    Scores are the means over the crops: "l1" and "psnr" (dB, data range 1) of refocused pictures, "psnr_between" at the
    levels between, and "disparity" and "order", the losses of these names. What there are no crops for is left out.
    """
    found: dict[str, float] = {}
    made = None
    if validation.trained is not None:
        made = _refocused(generator, validation.trained, sigma_scale)
        found |= {"l1": float((made - validation.trained.target).abs().mean()), "psnr": _psnr(made, validation.trained)}
    if validation.between is not None:
        found["psnr_between"] = _psnr(_refocused(generator, validation.between, sigma_scale), validation.between)
    if validation.known is not None and isinstance(generator, Lens):
        parts = torch.split(validation.known.photo, AT_ONCE)
        disparity = torch.cat(
            [generator.analyse(photo.to(sigma_scale.device) * 2 - 1).float().cpu() for photo in parts]
        )
        found["disparity"] = float(disparity_error(disparity, validation.known.disparity, ~validation.known.real))
        if validation.known.front.isfinite().any():
            found["order"] = float(order_error(disparity, validation.known.front))
    return found, made


def selection_score(found: Mapping[str, float], losses: LossConfig) -> tuple[str, float] | None:
    """Return the score that the best generator is chosen by, larger is better, with its name; None: there is none.

    It is psnr; or where no loss compares refocused pictures, the negative sum of the losses of the disparity, weighted
    as they are trained ("depth"); or whichever of both there is.
    """
    parts = {name: getattr(losses, name) or 1.0 for name in ("disparity", "order") if name in found}
    if "order" in parts and not losses.order:
        del parts["order"]
    scores = {"psnr": found.get("psnr")}
    scores["depth"] = -sum(weight * found[name] for name, weight in parts.items()) if parts else None
    for name in ("psnr", "depth") if losses.compares_images else ("depth", "psnr"):
        score = scores[name]
        if score is not None:
            return name, score
    return None


def picture(made: Tensor, examples: Example) -> NDArray[np.uint8]:
    """Return rows of photo | ours | truth, (rows * c, 3 c, 3), for a few examples spread over scenes and levels."""
    rows = [
        torch.cat([examples.photo[i], made[i], examples.target[i]], dim=2) for i in _spread(len(made), ROWS)
    ]  # each (3, c, 3 c)
    sheet = torch.cat(rows, dim=1).clamp(0, 1).mul(255).round().byte()
    return np.ascontiguousarray(sheet.permute(1, 2, 0).numpy())


def _refocused(generator: nn.Module, examples: Example, sigma_scale: Tensor) -> Tensor:
    """Return the generator's (N, 3, c, c) float32 in [0, 1] on the CPU."""
    device, made = sigma_scale.device, []
    for at in range(0, len(examples.photo), AT_ONCE):
        photos, sigmas = (part[at : at + AT_ONCE].to(device) for part in (examples.photo, examples.sigma))
        made.append(generator(photos * 2 - 1, sigmas / sigma_scale).float().cpu())
    return (torch.cat(made) + 1) / 2


def _psnr(made: Tensor, examples: Example) -> float:
    squares = (made - examples.target).square().mean(dim=(1, 2, 3)).clamp(min=1e-10)
    return float((-10 * squares.log10()).mean())


def _spread(count: int, most: int) -> list[int]:
    """Return at most `most` different numbers below `count`, evenly spread, the first and the last among them."""
    return sorted({round(i) for i in np.linspace(0, count - 1, min(count, most))})
