"""The fourth way in: one slice, focused on what is nearest or farthest, and nothing else.

Two tasks, each from both ends of the focal stack: the all-in-focus photo, and every other slice. "slice" does nothing;
"deblurred" makes the slice sharp first; "refocal" refocuses it as it is. Wiener deconvolution is given what no one has
but for a comparison: the disk, and the regularisation, that come nearest to the true photo.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.restoration import unsupervised_wiener, wiener

from refocal.evaluation import metrics
from refocal.evaluation.baselines import crop, to_8bit
from refocal.evaluation.metrics import Pixels
from refocal.evaluation.report import compared
from refocal.evaluation.scores import Scores
from refocal.images.image import as_photo
from refocal.model.refocuser import Refocuser
from refocal.scenes.scene import Scene

TASKS = ("all_in_focus", "refocused")
SCORES = ("psnr", "ssim", "in_focus_psnr", "out_of_focus_psnr")
RADII = (0.05, 0.1, 0.2, 0.3, 0.5)  # of a disk, as shares of the widest blur
BALANCES = (0.003, 0.03, 0.3)  # of Wiener's filter

Thirds = tuple[NDArray[np.bool_], NDArray[np.bool_]]


def from_slice(refocuser: Refocuser, scenes: Iterable[Scene], *, resamples: int, seed: int) -> dict[str, Any]:
    """Return the part of metrics.json: `n` scenes, and by task the methods' means and our paired differences.

    Nothing for a model that cannot deblur or finds no disparity, and where no scene has two levels. Of a scene the mean
    over both ends counts. In focus is the third of the pixels that is sharpest beside the photo, out of focus the third
    that is least sharp: of the slice, what is to be left alone and what is to be mended.
    """
    if refocuser.deblurring is None or not refocuser.finds_depth:
        return {}
    rows: dict[str, dict[str, list[Scores]]] = {task: {} for task in TASKS}
    count = 0
    for scene in scenes:
        if len(scene.focus) < 2:
            continue
        count += 1
        thirds = _thirds(scene)
        ends = [_from(scene, refocuser, end, thirds) for end in (0, len(scene.focus) - 1)]
        for task, methods in rows.items():
            for method in ends[0][task]:
                scores: Scores = {score: float(np.mean([end[task][method][score] for end in ends])) for score in SCORES}
                methods.setdefault(method, []).append(scores)
    if not count:
        return {}
    by_task = {task: compared(methods, "deblurred", resamples=resamples, seed=seed) for task, methods in rows.items()}
    return {"n": count} | by_task


def _from(
    scene: Scene, refocuser: Refocuser, end: int, thirds: Sequence[Thirds]
) -> Mapping[str, Mapping[str, Mapping[str, float]]]:
    """Score what is made of one end of the stack; `thirds` of each level."""
    photo, stack = np.array(scene.photo()), np.array(scene.stack())
    given = stack[end]
    sharp = refocuser.deblurred(given, "always")
    disk = best_disk(given, photo, scene)
    made = {"slice": given, "wiener": disk[0], "unsupervised wiener": disk[1], "deblurred": sharp}
    whole = {method: _scores(scene, picture, photo, thirds[end]) for method, picture in made.items()}
    levels: dict[str, list[dict[str, float]]] = {"slice": [], "refocal": [], "deblurred": []}
    depths = {"refocal": (given, refocuser.analyse(given)), "deblurred": (sharp, refocuser.analyse(sharp))}
    for level, focus in enumerate(scene.focus):
        if level == end:
            continue
        pictures = {"slice": given} | {
            method: refocuser.render(picture, disparity, focus, scene.lens_aperture)
            for method, (picture, disparity) in depths.items()
        }
        for method, picture in pictures.items():
            levels[method].append(_scores(scene, picture, stack[level], thirds[level]))
    means = {
        method: {score: float(np.mean([row[score] for row in rows])) for score in SCORES}
        for method, rows in levels.items()
    }
    return {"all_in_focus": whole, "refocused": means}


def _thirds(scene: Scene) -> list[Thirds]:
    """Return the masks of the sharpest and the least sharp third of each slice, beside the photo."""
    photo, *slices = (metrics.log_sharpness(crop(p, scene.border)) for p in (scene.photo(), *scene.stack()))
    return [metrics.split_by_focus(one, photo) for one in slices]


def _scores(scene: Scene, picture: Pixels, truth: Pixels, masks: Thirds) -> dict[str, float]:
    a, b = (crop(np.asarray(p), scene.border) for p in (picture, truth))
    sharp, soft = (metrics.psnr(a, b, mask) for mask in masks)
    return {"psnr": metrics.psnr(a, b), "ssim": metrics.ssim(a, b), "in_focus_psnr": sharp, "out_of_focus_psnr": soft}


def best_disk(given: Pixels, truth: Pixels, scene: Scene) -> tuple[Pixels, Pixels]:
    """Return a slice sharpened by Wiener's filter, and by the unsupervised one, with the disk nearest to the truth.

    `skimage.restoration.wiener` and `unsupervised_wiener` (Orieux et al., JOSA A 27(7), 2010), channel by channel.
    """
    picture = as_photo(given)
    tried = []
    for share in RADII:
        disk = _disk(share * scene.lens_aperture)
        for balance in BALANCES:
            made = to_8bit(_by_channel(picture, lambda plane, d=disk, b=balance: wiener(plane, d, b)))
            tried.append((metrics.psnr(crop(made, scene.border), crop(truth, scene.border)), made, disk))
    _, made, disk = max(tried, key=lambda one: one[0])
    alone = _by_channel(picture, lambda plane: unsupervised_wiener(plane, disk, rng=0)[0])
    return made, to_8bit(alone)


def _by_channel(picture: NDArray[np.float32], sharpen: Any) -> NDArray[np.float32]:
    return np.stack([np.asarray(sharpen(picture[..., c]), np.float32) for c in range(3)], axis=-1)


def _disk(radius: float) -> NDArray[np.float64]:
    """Return a disk of a radius in pixels with soft edges, sum 1."""
    half = int(np.ceil(radius))
    away = np.hypot(*np.mgrid[-half : half + 1, -half : half + 1])
    disk = np.clip(radius + 0.5 - away, 0, 1)
    return np.asarray(disk / disk.sum())
