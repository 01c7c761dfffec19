"""The losses, each a function of tensors to a scalar."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from refocal.learning.training.processes import mean_where

SCALES = 4  # at which the gradients of a disparity are compared
MARGIN = 0.35  # by which what stands in front is nearer than what is behind it, in units of focus
WINDOW = 0.14  # side of the windows that both are compared in, as a share of the picture's height
STANDING = 0.8  # of a thing's height: below, it may stand on ground that is as near
ROUGH = 0.1  # weight of the disparity's deviation from its mean within a thing
FLAT = 0.1  # deviation of a disparity, in units of focus, that counts as hardly any


def lsgan_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Least-squares loss of the discriminator: real patches to 1, made ones to 0 (Mao et al., ICCV 2017, eq. 2).

    Parameters
    ----------
    real, fake : tensor
        Logits of any shape.
    """
    return ((real - 1).square().mean() + fake.square().mean()) / 2


def lsgan_generator(fake: Tensor) -> Tensor:
    """Least-squares loss of the generator: its patches should be judged real, 1 (Mao et al., ICCV 2017, eq. 2)."""
    return (fake - 1).square().mean() / 2


def l1(image: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference; float32 even of bfloat16 features, whose mean would keep 3 digits."""
    return (image - target).abs().mean(dtype=torch.float32)


def dissimilarity(image: Tensor, target: Tensor) -> Tensor:
    """1 - SSIM, mean over pixels and channels (Wang et al., TIP 2004, eq. 13), in Gaussian windows of deviation 1.5.

    Parameters
    ----------
    image, target : tensor
        (N, C, H, W) in [-1, 1], at least 11 px either way; windows that reach beyond the border are left out.
    """
    x, y = image.float(), target.float()
    channels = x.shape[1]
    places = torch.arange(-5, 6, device=x.device, dtype=x.dtype)
    bell = torch.exp(-places.square() / (2 * 1.5**2))
    bell = (bell / bell.sum()).expand(5 * channels, 1, 1, 11)
    seen = torch.cat([x, y, x * x, y * y, x * y], 1)
    seen = F.conv2d(F.conv2d(seen, bell, groups=5 * channels), bell.transpose(2, 3), groups=5 * channels)
    a, b, aa, bb, ab = torch.split(seen, channels, 1)
    c1, c2 = (2 * 0.01) ** 2, (2 * 0.03) ** 2  # of a range of 2
    alike = (2 * a * b + c1) * (2 * (ab - a * b) + c2) / ((a * a + b * b + c1) * (aa - a * a + bb - b * b + c2))
    return 1 - alike.mean()


def perceptual(features: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """Mean absolute difference of features, averaged over layers (after Johnson et al., ECCV 2016).

    Parameters
    ----------
    features, wanted : sequence of tensor
        Features of the picture and of its target at the same layers, as `VGGFeatures` gives them.

    Raises
    ------
    ValueError
        Where there is no layer at all: the loss would be silently nothing.
    """
    if not features:
        raise ValueError("features: the perceptual loss needs at least one layer, got none")
    return torch.stack([l1(ours, theirs) for ours, theirs in zip(features, wanted, strict=True)]).mean()


def disparity_error(disparity: Tensor, wanted: Tensor, relative: Tensor) -> Tensor:
    """Mean absolute difference of a disparity, as it is and by scale and shift, and of the latter's gradients.

    By scale and shift: each picture of both brought to mean 0 and deviation 1 (after MiDaS: Ranftl et al., TPAMI 2022,
    eq. 5, whose median and mean deviation a flat background makes jump). The gradients keep edges where they are
    (MegaDepth: Li & Snavely, CVPR 2018, eq. 4).

    Parameters
    ----------
    disparity, wanted : tensor
        (N, 1, H, W) in units of focus; `wanted` NaN where it is not known, which counts for nothing.
    relative : tensor
        (N,) bool: where only the order and the shape of `wanted` can be trusted, which then counts more.
    """
    known = wanted.isfinite()
    wanted = wanted.nan_to_num()
    trust = torch.where(relative, 0.3, 1.0)[:, None, None, None]
    total = mean_where((disparity - wanted).abs() * trust, known)
    difference = (_standard(disparity, known) - _standard(wanted, known)) * known
    total = total + 0.5 * mean_where(difference.abs(), known)
    for scale in range(SCALES):
        step = 2**scale
        apart, both = difference[..., ::step, ::step], known[..., ::step, ::step]
        down = mean_where((apart[..., 1:, :] - apart[..., :-1, :]).abs(), both[..., 1:, :] & both[..., :-1, :])
        right = mean_where((apart[..., 1:] - apart[..., :-1]).abs(), both[..., 1:] & both[..., :-1])
        total = total + 0.25 * (down + right)
    return total


def order_error(disparity: Tensor, front: Tensor) -> Tensor:
    """How far a disparity is from putting the thing in a mask before what is around it, along the mask's edge.

    In windows that hold 15 to 85 % of the thing, a hinge wants the mean disparity within the mask `MARGIN` above that
    outside, and the disparity within it near its own mean. Rows in the lowest fifth of the thing do not count.

    Parameters
    ----------
    disparity : tensor
        (N, 1, H, W) in units of focus.
    front : tensor
        (N, 1, H, W): 1 in the mask, 0 outside; NaN where there is none, which counts for nothing.
    """
    known = front.isfinite().to(disparity.dtype)
    inside = front.nan_to_num().to(disparity.dtype)
    outside = known - inside
    radius = max(1, round(WINDOW * disparity.shape[-2] / 2))

    means = _window_means(torch.cat([inside, outside, disparity * inside, disparity * outside], 1), radius)
    share, around, within, behind = (means[:, k : k + 1] for k in range(4))
    within, behind = within / share.clamp(min=1e-3), behind / around.clamp(min=1e-3)
    rows = torch.arange(disparity.shape[-2], device=disparity.device)[:, None]
    filled = inside.amax(3, keepdim=True) > 0  # (N, 1, H, 1)
    top = torch.where(filled, rows, disparity.shape[-2]).amin(2, keepdim=True)
    bottom = torch.where(filled, rows, -1).amax(2, keepdim=True)
    counts = rows <= top + STANDING * (bottom - top)
    share = share / (share + around).clamp(min=1e-3)
    edge = (share > 0.15) & (share < 0.85) & (known > 0) & counts
    hinge = F.relu(MARGIN - (within - behind))
    return mean_where(hinge, edge) + ROUGH * mean_where((disparity - within).abs(), inside * counts)


def _window_means(values: Tensor, radius: int) -> Tensor:
    """Return means over windows of (N, C, H, W); pixels beyond the border count as zeros.

    By running sums: pooling costs as much as a window has pixels, and took half of a step of training.
    """
    for axis, around in ((-2, (0, 0, radius + 1, radius)), (-1, (radius + 1, radius))):
        sums, length = F.pad(values, around).cumsum(axis), values.shape[axis]
        values = (sums.narrow(axis, 2 * radius + 1, length) - sums.narrow(axis, 0, length)) / (2 * radius + 1)
    return values


def _standard(disparity: Tensor, known: Tensor) -> Tensor:
    """Bring each picture to mean 0 and deviation 1 where it is known; one that is almost flat is not blown up."""
    count = known.sum((1, 2, 3), keepdim=True).clamp(min=1)
    centred = disparity - (disparity * known).sum((1, 2, 3), keepdim=True) / count
    variance = (centred.square() * known).sum((1, 2, 3), keepdim=True) / count
    return centred / torch.sqrt(variance + FLAT**2)
