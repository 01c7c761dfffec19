"""Crops of prepared scenes. Each is a function of seed and absolute index alone, so that training resumes exactly."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F
from torch.utils.data import Dataset

from refocal.learning.data.placement import Placement, tone_jitter
from refocal.learning.data.sampling import Pair, check_sizes, epoch_entries, order, trained_pairs
from refocal.learning.examples import CROP, ON_THE_FLY, RENDERED_APERTURE, Example, resized
from refocal.scenes.scene import Scene

# Memory maps that a process keeps open; each holds a file descriptor, of which a process often has but 1024.
OPEN_SCENES = 200


def digest(scenes: Sequence[Scene]) -> str:
    """Return a digest of scenes: all that is said of them, and the middle row of their pictures, which costs little."""
    mixed = hashlib.sha256()
    for scene in sorted(scenes, key=lambda scene: scene.name):
        mixed.update(repr((scene.name, scene.split, scene.focus, scene.trained, scene.aperture)).encode())
        photo, stack = scene.photo(), scene.stack()
        middle = photo.shape[0] // 2
        mixed.update(repr(stack.shape).encode() + photo[middle].tobytes() + stack[:, middle].tobytes())
        mixed.update(scene.disparity()[middle].tobytes())
        mixed.update(scene.mask()[middle].tobytes() if scene.kind == "mask" else b"")
    return mixed.hexdigest()


class Crops(Dataset[Example]):
    """Random crops by absolute index, which counts on over all epochs.

    Index i is position i % len(self) of epoch i // len(self). An epoch is a permutation of all (scene, trained level)
    pairs of the training split, each taken `crops_per_pair` times; a scene without a focal stack is one pair. Order,
    place, size and flip derive from the seed and the index, never from what was drawn before: a run that starts at
    index i sees what an uninterrupted one sees there.

    Parameters
    ----------
    scenes : sequence of Scene
        Prepared scenes; those of other splits are left alone.
    crop : int
        Side of the square crops, in pixels.
    seed : int
        Not negative.
    crops_per_pair : int
        How many crops of each pair an epoch takes.
    zoom : float, optional
        Crops are squares of a side between this share of the scene's short side and all of it, resized: a network that
        looks for depth has to see much of the scene. None: `crop` pixels as they are.
    weights : mapping of str to float, optional
        How often pairs are taken relative to `crops_per_pair`, by the collection that they come from or else by their
        kind; 1 where nothing is said. Below 1, some are left out.
    jitter : float
        Exposure, colour balance and gamma vary by up to about this share.
    on_the_fly : float
        Share of the crops of light fields that have any focus in [-1, 1] instead of a stored level; the targets of
        these examples are NaN until `batches` has averaged the views.

    Raises
    ------
    ValueError
        When there is no training scene, or one is smaller than a crop.

    Notes
    -----
    Flips are left to right only: below is near and above is far in most photographs, a cue worth keeping.
    """

    def __init__(
        self,
        scenes: Sequence[Scene],
        *,
        crop: int,
        seed: int,
        crops_per_pair: int = 1,
        zoom: float | None = None,
        weights: Mapping[str, float] | None = None,
        jitter: float = 0,
        on_the_fly: float = 0,
    ) -> None:
        self.pairs = trained_pairs(scenes, "train")
        if not self.pairs:
            raise ValueError("no prepared scene of the split train: nothing to train on")
        if zoom is None:
            check_sizes(self.pairs, crop)
        self.scenes = list(dict.fromkeys(scene for scene, _ in self.pairs))
        self.crop, self.seed, self.zoom, self.jitter = crop, seed, zoom, jitter
        self.on_the_fly = on_the_fly
        self.entries = epoch_entries([scene for scene, _ in self.pairs], crops_per_pair, weights or {})

    def __len__(self) -> int:
        """Return the number of crops in an epoch."""
        return len(self.entries)

    def __getitem__(self, index: int) -> Example:
        """Return the crop at an absolute index."""
        placement = self.placement(index)
        photo, stack, disparity = _arrays(placement.scene)
        place = (
            slice(placement.top, placement.top + placement.side),
            slice(placement.left, placement.left + placement.side),
        )
        shown = placement.picture(_as_tensor(photo[place]), self.crop)
        if placement.averaged:
            target = torch.full_like(shown, torch.nan)
        elif placement.level < 0:
            target = shown
        else:
            target = placement.picture(_as_tensor(stack[placement.level][place]), self.crop)
        return Example(
            shown,
            target,
            torch.tensor([placement.focus, placement.aperture], dtype=torch.float32),
            _known(_turned(disparity[place], placement.mirrored), self.crop),
            torch.tensor(placement.level >= 0 or placement.scene.kind == "mask"),
            _front(placement.scene, place, self.crop, mirrored=placement.mirrored),
        )

    def epoch_scenes(self) -> list[Scene]:
        """Return the scenes, each as often as an epoch takes it."""
        return [self.pairs[number][0] for number in self.entries]

    def placement(self, index: int) -> Placement:
        """Return the placement of the crop at an absolute index; no pixel is read."""
        epoch, position = divmod(index, len(self))
        scene, level = self.pairs[self.entries[order(self.seed, epoch, len(self))[position]]]
        height, width = _arrays(scene)[0].shape[:2]
        random = np.random.default_rng([self.seed, CROP, index])
        short = min(height, width)
        side = self.crop if self.zoom is None else round(short * float(random.uniform(self.zoom, 1)))
        top = int(random.integers(height - side + 1))
        left = int(random.integers(width - side + 1))
        mirrored = bool(random.integers(2))
        if level < 0:
            focus, aperture = random.uniform(-1, 1), self.crop * float(random.uniform(*RENDERED_APERTURE))
            if scene.kind == "mask":  # nothing to render a target from: at aperture 0 the photo is its own
                aperture = 0.0
        else:
            focus, aperture = scene.focus[level], scene.lens_aperture * self.crop / side
        tone, averaged = tone_jitter(random, self.jitter), False
        if self.on_the_fly and scene.kind == "light_field":  # random numbers of their own: all else stays as without
            chance = np.random.default_rng([self.seed, ON_THE_FLY, index])
            averaged = bool(chance.random() < self.on_the_fly)
            focus = float(chance.uniform(-1, 1)) if averaged else focus
        return Placement(scene, level, focus, averaged, top, left, side, mirrored, aperture, tone)


def centre_crops(pairs: Sequence[Pair], crop: int, *, whole: bool = False) -> Example:
    """Return the middle of each pair as a batch; where there is no level, the target is the photo, sigma 0.

    `whole`: of the largest square, resized.
    """
    made = []
    for scene, level in pairs:
        photo, stack, disparity = _arrays(scene)
        side = min(photo.shape[:2]) if whole else crop
        top, left = (photo.shape[0] - side) // 2, (photo.shape[1] - side) // 2
        place = slice(top, top + side), slice(left, left + side)
        focus, aperture = (scene.focus[level], scene.lens_aperture * crop / side) if level >= 0 else (0.0, 0.0)
        example = Example(
            resized(_as_tensor(photo[place]), crop),
            resized(_as_tensor((stack[level] if level >= 0 else photo)[place]), crop),
            torch.tensor([focus, aperture], dtype=torch.float32),
            _known(disparity[place], crop),
            torch.tensor(scene.kind != "rgbd"),
            _front(scene, place, crop),
        )
        made.append(example)
    return Example(*map(torch.stack, zip(*made, strict=True)))


@lru_cache(maxsize=OPEN_SCENES)
def _arrays(scene: Scene) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float16]]:
    """Open a scene's memory maps; every worker process has its own cache, so maps never travel between processes."""
    return scene.photo(), scene.stack(), scene.disparity()


def _as_tensor(pixels: NDArray[np.uint8]) -> torch.Tensor:
    """(c, c, 3) uint8, perhaps memory-mapped -> (3, c, c) float32 in [0, 1]; only the crop is read from the disk."""
    return torch.from_numpy(np.array(pixels.transpose(2, 0, 1), order="C")).float().div_(255)


def _known(disparity: NDArray[np.float16], side: int) -> torch.Tensor:
    """Resize a disparity (a, a), NaN where unknown, to (1, side, side); nothing is mixed over edges."""
    known = torch.from_numpy(np.array(disparity, np.float32))[None, None]
    return F.interpolate(known, size=(side, side), mode="nearest-exact")[0]


def _front(scene: Scene, place: tuple[slice, slice], side: int, *, mirrored: bool = False) -> torch.Tensor:
    """Return where in a square of a scene the thing in front is: (1, side, side), NaN where there is no mask."""
    if scene.kind != "mask":
        return torch.full((1, side, side), torch.nan)
    mask = torch.from_numpy(np.array(_turned(scene.mask()[place], mirrored), np.float32))[None]
    return resized(mask, side).round()


def _turned(pixels: NDArray[Any], mirrored: bool) -> NDArray[Any]:
    return pixels[:, ::-1] if mirrored else pixels
