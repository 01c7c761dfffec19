"""Disparity and an all-in-focus photo from two slices of a focus bracket, the nearest and the farthest.

A thing of disparity g, in units of focus, is blurred in the near slice by a disk of A (1 - g) / 2 pixels and in the far
one by A (1 + g) / 2, where A is the aperture. With N and F the slices' spectra and P, Q those of the two disks, the
right g leaves nothing of

    (N Q - F P) / sqrt(|P|^2 + |Q|^2)

and the sharp photo is then (N P* + F Q*) / (|P|^2 + |Q|^2 + prior) (Zhou, Lin & Nayar, "Coded aperture pairs for depth
from defocus", ICCV 2009, with disks of unknown size instead of codes; the prior rises with frequency, as noise does
beside a photo). What neither slice shows sharp, halfway between them, thus gets sharp too. A is the one that leaves
least over all. A few g are tried; what is left is gathered along edges, the least is refined by a parabola. At last the
slices are rendered from the result, and what they differ by, laid on the photo, corrects it near edges of depth, where
the blur is not one disk (back-projection: Irani & Peleg, CVGIP 1991).

What one slice shows sharp is taken from there as it is, and nothing gets much brighter or darker than both slices are
around: where the disks are not quite those of the lens, the disparity is unsure or a light is clipped, a filter rings.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import gaussian_filter, laplace, maximum_filter, median_filter, minimum_filter
from scipy.optimize import minimize_scalar

from refocal.depth.edges import GuidedFilter, spread
from refocal.depth.upsampling import enlarge
from refocal.images.colour import LUMA, to_linear, to_srgb
from refocal.images.image import reduced
from refocal.render.reference import render

SIDE = 384  # px: short side at which depth is estimated
PLANES = 13  # of disparity
COARSE = 9  # of them while the aperture is estimated
WIDEST = 0.1  # of the long side: the largest aperture that is tried
PRIOR = 0.03  # beside 1, the power of an unblurred photo, at half the highest frequency
NOISE = 2e-5  # of the squared light: smaller differences are noise
FINE = 8  # samples a pixel and direction, of a disk
# Confidence: below the first the disparity is that of the surroundings, from the second on it is the pixel's own.
UNSURE, SURE = 0.3, 0.7
REACH, STOP = 0.08, 0.1  # of filling: of the long side; colour difference that stops it
CLOSE = 2  # px: rendering samples the blur so densely, or is not good enough to correct by
SHARP, BLURRED = (
    1.0,
    3.0,
)  # px: blur diameters up to which a slice is taken as it is, and from which on it is filtered
AROUND = 2  # px: so far reaches what bounds a pixel
ALIKE = 0.01  # of the detail's power: slices that differ by less are taken for one
MOST = 15  # samples along its diameter

Plane = NDArray[np.float32]


@dataclass(frozen=True)
class TwoSliceDepth:
    """Disparity and all-in-focus photo of two slices.

    Attributes
    ----------
    photo : ndarray
        (H, W, 3) float32, sRGB in [0, 1], sharp everywhere.
    disparity : ndarray
        (H, W) float32: -1 where the far slice is sharp, +1 where the near one is.
    confidence : ndarray
        (H, W) float32 in [0, 1].
    aperture : float
        In pixels: the blur diameter in one slice of what is sharp in the other.
    """

    photo: Plane
    disparity: Plane
    confidence: Plane
    aperture: float


def depth_from_defocus(near: Plane, far: Plane) -> TwoSliceDepth:
    """Find disparity and a sharp photo of two slices.

    Parameters
    ----------
    near, far : ndarray
        (H, W, 3) float32, sRGB in [0, 1], laid over each other.
    """
    small = [reduced(one, SIDE) for one in (near, far)]
    if _are_alike(small[0], small[1]):
        nothing = np.zeros(near.shape[:2], np.float32)
        return TwoSliceDepth(np.float32(0.5) * (near + far), nothing, nothing, max(near.shape) / max(small[0].shape))
    aperture = _find_aperture(small[0], small[1])
    disparity, confidence = _disparity(small[0], small[1], aperture)
    mean = (near + far) / 2
    disparity, confidence = (2 * enlarge(one / 2, mean) for one in (disparity, confidence))
    aperture *= max(near.shape) / max(small[0].shape)
    photo = _sharp(near, far, disparity, confidence, aperture)
    if CLOSE <= aperture <= CLOSE * MOST:
        photo = _corrected(photo, near, far, disparity, aperture)
    return TwoSliceDepth(_bounded(photo, near, far), disparity, confidence, aperture)


def _are_alike(near: Plane, far: Plane) -> bool:
    light = [to_linear(one) for one in (near, far)]
    detail = np.mean([(one - gaussian_filter(one, (4, 4, 0))) ** 2 for one in light])
    return bool(np.mean((light[0] - light[1]) ** 2) <= ALIKE * detail)


def _find_aperture(near: Plane, far: Plane) -> float:
    """Return the aperture, in pixels, that leaves least of the difference; about 1 where the slices are blurred alike.

    A far too large one would leave little as well, but needs a photo that no camera sees, which the prior rejects.
    """

    def left(aperture: float, *, likely: bool = False) -> float:
        return float(_costs(near, far, aperture, COARSE, likely=likely).min(axis=0).mean())

    tried = np.geomspace(1, max(2.0, WIDEST * max(near.shape)), 7).tolist()
    best = int(np.argmin([left(aperture, likely=True) for aperture in tried]))
    bounds = (tried[max(best - 1, 0)], tried[min(best + 1, len(tried) - 1)])
    return float(minimize_scalar(left, bounds=bounds, method="bounded", options={"xatol": 0.1, "maxiter": 8}).x)


def _disparity(near: Plane, far: Plane, aperture: float) -> tuple[Plane, Plane]:
    costs = _costs(near, far, aperture, PLANES)
    best = np.argmin(costs, axis=0)
    inner = np.clip(best, 1, PLANES - 2)[None]
    before, at, after = (np.take_along_axis(costs, inner + k, axis=0)[0] for k in (-1, 0, 1))
    bend = np.maximum(before - 2 * at + after, 1e-12)
    place = np.where(best == inner[0], inner[0] + np.clip((before - after) / (2 * bend), -0.5, 0.5), best)
    found = (2 * place / (PLANES - 1) - 1).astype(np.float32)
    lowest, typical = costs.min(axis=0), np.median(costs, axis=0)
    confidence = np.clip((typical - lowest) / (lowest + 0.3 * typical + NOISE), 0, 1).astype(np.float32)
    weight = confidence**2 + np.float32(1e-6)
    mean = np.asarray((near + far) / 2, np.float32)
    seen = np.stack([weight * found, weight], axis=-1).astype(np.float32)
    around = spread(seen, mean, REACH * max(mean.shape), STOP)
    keep = np.clip((confidence - UNSURE) / (SURE - UNSURE), 0, 1)
    filled = keep * found + (1 - keep) * around[..., 0] / around[..., 1]
    return np.clip(median_filter(filled.astype(np.float32), 5), -1, 1), confidence


def _costs(near: Plane, far: Plane, aperture: float, count: int, *, likely: bool = False) -> Plane:
    """Return what is left of the difference for each of so many disparities, from -1 to 1, (count, H, W).

    With `likely`, the photo's own power counts by the prior: the sum is what a Wiener filter makes least.
    """
    guide = np.asarray((near + far) / 2 @ LUMA, np.float32)
    radius = max(3, round(max(guide.shape) / 100))
    spectra = _Spectra(near, far, aperture)
    out = np.empty((count, *guide.shape), np.float32)
    for plane, g in zip(out, np.linspace(-1, 1, count), strict=True):
        (n, f), (p, q) = spectra.seen, spectra.disks(g)
        power = abs(p) ** 2 + abs(q) ** 2 + 0.003
        left = (spectra.back((n * q - f * p) / np.sqrt(power)) ** 2).sum(axis=-1)
        if likely:
            prior = spectra.prior / power / (power + spectra.prior)
            left += (spectra.back((n * np.conj(p) + f * np.conj(q)) * np.sqrt(prior)) ** 2).sum(axis=-1)
        gathered = GuidedFilter(guide, radius, 1e-3)(left)
        plane[:] = np.maximum(gathered, 1e-3 * gaussian_filter(left, radius) + 1e-9)
    return out


def _sharp(near: Plane, far: Plane, disparity: Plane, confidence: Plane, aperture: float) -> Plane:
    """Return the sharper slice at each place; without its blur where both have some and the disparity is sure."""
    spectra = _Spectra(near, far, aperture)
    place = (disparity + 1) / 2 * (PLANES - 1)
    light = np.zeros_like(near)
    for k, g in enumerate(np.linspace(-1, 1, PLANES)):
        share = np.clip(1 - np.abs(place - k), 0, 1)
        if share.any():
            (n, f), (p, q) = spectra.seen, spectra.disks(g)
            power = abs(p) ** 2 + abs(q) ** 2 + spectra.prior
            light += share[..., None] * spectra.back((n * np.conj(p) + f * np.conj(q)) / power)
    made = to_srgb(light.clip(0, 1)).clip(0, 1)
    # Gathered from as far as a blurred edge reaches: where it is sharp it outweighs that.
    radius = max(3, aperture / 4)
    energies = [gaussian_filter(laplace(gaussian_filter(one @ LUMA, 1)) ** 2, radius) + 1e-8 for one in (near, far)]
    nearer = 1 / (1 + (energies[1] / energies[0]) ** 2)
    sharper = nearer[..., None] * near + (1 - nearer[..., None]) * far
    blur = aperture * (1 - np.abs(disparity)) / 2  # in the sharper slice
    sure = np.clip((confidence - UNSURE) / (SURE - UNSURE), 0, 1)
    filtered = np.clip((blur - SHARP) / (BLURRED - SHARP), 0, 1) * sure * 4 * nearer * (1 - nearer)
    size = (2 * AROUND + 1, 2 * AROUND + 1, 1)
    span = maximum_filter(sharper, size) - minimum_filter(sharper, size)
    photo: Plane = (sharper + filtered[..., None] * np.clip(made - sharper, -span, span)).astype(np.float32)
    return photo


def _bounded(photo: Plane, near: Plane, far: Plane) -> Plane:
    """Keep a photo within what both slices have around each pixel."""
    size = (2 * AROUND + 1, 2 * AROUND + 1, 1)
    least, most = minimum_filter(np.minimum(near, far), size), maximum_filter(np.maximum(near, far), size)
    bounded: Plane = np.clip(photo, least, most)
    return bounded


def _corrected(photo: Plane, near: Plane, far: Plane, disparity: Plane, aperture: float) -> Plane:
    """Add to the photo what the slices differ by from their renderings, of each pixel in the slice where it is sharper.

    Rendered from a grid whose outermost samples stand half a step within the pupil.
    """
    count = min(2 * int(np.ceil(aperture / CLOSE)) + 1, MOST)
    light = to_linear(photo)
    for focus, one, share in ((1, near, (1 + disparity) / 2), (-1, far, (1 - disparity) / 2)):
        made = render(photo, disparity, focus, aperture * (count - 1) / count, grid=(count, count))
        light += share[..., None] * (to_linear(one) - to_linear(made))
    return to_srgb(light.clip(0, 1)).clip(0, 1)


class _Spectra:
    """Two slices' light, mirrored at the borders, as spectra, and those of the disks that they are blurred with."""

    def __init__(self, near: Plane, far: Plane, aperture: float) -> None:
        self.aperture, self.border = aperture, int(np.ceil(aperture)) + 8
        self.inner = near.shape[:2]
        height, width = (fft.next_fast_len(side + 2 * self.border, real=True) for side in self.inner)
        self.size = height, width
        self.seen = tuple(fft.rfft2(self._padded(one), axes=(0, 1)) for one in (near, far))
        frequency2 = fft.fftfreq(height)[:, None, None] ** 2 + fft.rfftfreq(width)[None, :, None] ** 2
        self.prior = (PRIOR * frequency2 / 0.25**2).astype(np.float32)  # (h, w, 1)

    def _padded(self, photo: Plane) -> Plane:
        more = [(self.border, whole - side - self.border) for whole, side in zip(self.size, self.inner, strict=True)]
        return np.pad(to_linear(photo), (*more, (0, 0)), mode="symmetric")

    def disks(self, g: float) -> tuple[NDArray[np.complex64], NDArray[np.complex64]]:
        """Return the spectra of the near and the far slice's disk for a disparity, (h, w, 1)."""
        near, far = (self._disk(self.aperture * (1 - sign * g) / 2) for sign in (1, -1))
        return near, far

    def _disk(self, diameter: float) -> NDArray[np.complex64]:
        half = int(np.ceil(max(diameter, 1) / 2))
        side = 2 * half + 1
        at = (np.arange(side * FINE) + 0.5) / FINE - side / 2
        inside = at[:, None] ** 2 + at**2 <= (max(diameter, 1) / 2) ** 2
        weights = inside.reshape(side, FINE, side, FINE).mean((1, 3))
        disk = np.zeros(self.size, np.float32)
        disk[:side, :side] = (
            weights / weights.sum() if diameter >= 1 else np.eye(side)[half][:, None] * np.eye(side)[half]
        )
        spectrum: NDArray[np.complex64] = fft.rfft2(np.roll(disk, (-half, -half), (0, 1)))[..., None]
        return spectrum

    def back(self, spectrum: NDArray[np.complex64]) -> Plane:
        """Return the picture of a spectrum, (H, W, 3), without the borders."""
        whole = fft.irfft2(spectrum, s=self.size, axes=(0, 1))
        height, width = self.inner
        inner: Plane = whole[self.border : self.border + height, self.border : self.border + width].astype(np.float32)
        return inner
