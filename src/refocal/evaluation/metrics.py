"""Scores of a refocused image: similarity to the true one, and whether it is focused where it should be.

Notation: `image` is what a method made, `truth` the true refocused picture, `photo` what both were made from; all are
8-bit sRGB (H, W, 3) with their border cropped off already. For all scores more is better. PSNR and SSIM alone cannot
show that a picture is refocused (blurring everything alike comes far); the scores built on local sharpness can.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import correlate1d, gaussian_filter
from skimage.metrics import structural_similarity
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure as multiscale_ssim

Pixels = NDArray[np.uint8]
Map = NDArray[np.float64]

STEP = 1 / 255  # one step of 8 bits
ROUNDING = STEP**2 / 12  # mean squared error of rounding to 8 bits: smaller errors cannot be measured
LUMA = np.array([0.2126, 0.7152, 0.0722])  # ITU-R BT.709, the primaries of sRGB
SML_SIGMA = 4.0
MS_SSIM_FROM = 11 * 2**4  # pixels of a side: the coarsest of five scales must hold the 11-pixel window
REGION_WIDTH = 0.25  # of a bin of disparity, in focus units: the whole range has eight
REGION_SHARE = 0.01  # a region has at least this share of the picture's pixels
REGION_TEXTURE = 4 * STEP  # and these have an SML in the photo that noise and rounding don't reach


def psnr(image: Pixels, truth: Pixels, where: NDArray[np.bool_] | None = None) -> float:
    """Peak signal-to-noise ratio in dB, over the pixels `where` or all; at most 58.9 dB, the noise of rounding."""
    squares = (_unit(image, truth) - _unit(truth, image)) ** 2
    error = float(squares.mean() if where is None else squares[where].mean())
    return float(-10 * np.log10(max(error, ROUNDING)))


def ssim(image: Pixels, truth: Pixels) -> float:
    """Structural similarity (Wang et al. 2004: Gaussian window, sigma 1.5), mean over colours."""
    a, b = _unit(image, truth), _unit(truth, image)
    if min(a.shape[:2]) < 11:
        raise ValueError(f"ssim needs pictures of at least 11 x 11 pixels, got {a.shape[1]} x {a.shape[0]}")
    options: dict[str, Any] = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return float(structural_similarity(a, b, data_range=1.0, channel_axis=-1, **options))


def ms_ssim(image: Pixels, truth: Pixels) -> float | None:
    """Multi-scale structural similarity (Wang et al. 2003); None, not computed, where a side is below 176."""
    a, b = _unit(image, truth), _unit(truth, image)
    if min(a.shape[:2]) < MS_SSIM_FROM:
        return None
    x, y = (torch.from_numpy(p).permute(2, 0, 1)[None].contiguous() for p in (a, b))  # (1, 3, H, W)
    # Normalised by relu: at very unlike pictures a negative factor would have no real power.
    return float(multiscale_ssim(x, y, data_range=1.0, normalize="relu"))


def sml(image: Pixels) -> Map:
    """Sum-modified-Laplacian of luma, (H, W), >= 0: how sharp the picture is around each pixel.

    Nayar & Nakagawa, "Shape from focus", PAMI 1994: the absolute second difference along x plus that along y, of luma
    in [0, 1]; instead of a sum over a window it is smoothed by a Gaussian of sigma 4, as all scores here take it.
    """
    luma = _unit(image, image) @ LUMA
    modified = sum(np.abs(correlate1d(luma, [-1.0, 2.0, -1.0], axis=axis, mode="nearest")) for axis in (0, 1))
    return np.asarray(gaussian_filter(modified, SML_SIGMA, mode="nearest"), dtype=np.float64)


def log_sharpness(image: Pixels) -> Map:
    """Logarithm of the SML plus one step of 8 bits.

    Rounding a flat picture to 8 bits already gives an SML of about that step (rounding errors of variance 1/12 step²,
    weighted to luma: 0.7 steps over both directions), so that below it a ratio of SMLs would be a ratio of noise.
    """
    return np.asarray(np.log(sml(image) + STEP), dtype=np.float64)


def defocus_r(image: Map, truth: Map, photo: Map) -> float:
    """Pearson r between log(SML_image / SML_photo) and log(SML_truth / SML_photo): does it blur where it should.

    Takes the three pictures' `log_sharpness`. The photo's own texture cancels: a copy of the photo has no change
    anywhere and scores exactly 0, the true picture 1, blurring everything alike about a half at best.
    """
    return pearson(image - photo, truth - photo)


def focus_accuracy(images: Sequence[Pixels], truths: Sequence[Pixels]) -> float:
    """Return the share of focus levels whose image is nearest, in SSIM, to the truth of its own level.

    `images` and `truths` hold one picture a level, in the same order; guessing scores one over their number.
    """
    if len(images) != len(truths) or len(images) < 2:
        raise ValueError(f"focus_accuracy needs two images or more, a truth each; got {len(images)}, {len(truths)}")
    hits = [int(np.argmax([ssim(image, truth) for truth in truths])) == own for own, image in enumerate(images)]
    return float(np.mean(hits))


def control_r(sharpness: Sequence[Map], focus: Sequence[float], photo: Map, disparity: NDArray[Any]) -> float | None:
    """Correlation of a region's blur with its distance from the commanded focus, mean over the picture's regions.

    A region is what lies within one of eight equal bins of disparity and has texture in the photo; its focus is its
    median disparity, its sharpness at a commanded focus the median there of log(SML_image / SML_photo): the texture
    cancels, and a neighbour that bleeds over the region's edge does not count. For each region Pearson's r is taken
    over the levels, between |commanded focus - focus of the region| and minus the sharpness. Sharpness falls with blur
    along a curve, not a line: true pictures themselves score .91 to .99 (.97 on average).

    Parameters
    ----------
    sharpness
        `log_sharpness` of the image made for each level.
    focus
        The commanded levels, in [-1, 1].
    photo
        `log_sharpness` of the photo.
    disparity
        (H, W), in focus units: a pixel of disparity g is sharp at focus g.

    Returns
    -------
    float or None
        None where no region is large and textured enough, and for fewer than three levels.
    """
    if len(focus) < 3:
        return None
    commanded = np.asarray(focus, dtype=np.float64)
    scores = []
    for region in regions(photo, disparity):
        change = [float(np.median((level - photo)[region])) for level in sharpness]
        distance = np.abs(commanded - float(np.median(disparity[region])))
        scores.append(pearson(distance, -np.asarray(change)))
    return float(np.mean(scores)) if scores else None


def regions(photo: Map, disparity: NDArray[Any]) -> list[NDArray[np.bool_]]:
    """Return the masks (H, W) of the textured parts of a picture, one a bin of disparity, from far to near."""
    textured = photo > np.log(REGION_TEXTURE + STEP)
    bins = np.floor((np.nan_to_num(disparity.astype(np.float64), nan=-9.0) + 1) / REGION_WIDTH)
    bins[disparity == 1] -= 1  # the nearest plane belongs to the last bin
    masks = [textured & (bins == index) for index in range(round(2 / REGION_WIDTH))]
    return [mask for mask in masks if mask.sum() >= REGION_SHARE * mask.size]


def split_by_focus(truth: Map, photo: Map) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the masks of the third of the pixels that is sharpest, and of the third least sharp, beside the photo.

    Takes `log_sharpness` of both; ranks by their difference, ties in reading order.
    """
    order = np.argsort((truth - photo).ravel(), kind="stable")
    third = order.size // 3
    masks = np.zeros((2, order.size), dtype=np.bool_)
    masks[0, order[order.size - third :]] = True
    masks[1, order[:third]] = True
    return masks[0].reshape(truth.shape), masks[1].reshape(truth.shape)


def pearson(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Pearson's r of all values of two arrays; 0 where one of them is constant."""
    x, y = (np.asarray(v, dtype=np.float64).ravel() - float(np.mean(v, dtype=np.float64)) for v in (a, b))
    if min(np.abs(x).max(), np.abs(y).max()) < 1e-9:
        return 0.0
    return float(np.clip((x @ y) / np.sqrt((x @ x) * (y @ y)), -1, 1))


def _unit(image: Pixels, other: Pixels) -> NDArray[np.float32]:
    """Return an 8-bit picture in [0, 1], checked to be one and to be as large as the other."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image: scores compare 8-bit pictures (H, W, 3), got {image.dtype} {image.shape}")
    if image.shape != other.shape:
        raise ValueError(f"image: pictures to compare must have one size, got {image.shape} and {other.shape}")
    return image.astype(np.float32) / np.float32(255)
