"""Shift-and-add on the training device: light fields stay there in 8 bits, and crops of any focus are averaged.

What is made is what `shiftadd` makes (its notation holds here): four taps, weighted among those that are there,
in linear light where the scene's stack is. A view is shifted by one and the same fraction of a pixel everywhere, so its
four taps are one window of (S + 1) x (S + 1) pixels, of which each is read once and decoded once:

    T_ab(r, c) = sum over p of w_ab(p) D_p(r, c)        a, b in {0, 1}; D_p the window of view p, in light
    photo(y, x) ~ T_00(y, x) + T_01(y, x + 1) + T_10(y + 1, x) + T_11(y + 1, x + 1)

The sums are a product of (4, P) and (P, (S + 1)^2) numbers. A pixel lies in memory as four bytes, its channels and 255,
so that one read brings them all; what lies outside a view has four zeros. The fourth sum is then the weight of the taps
that are there. On a CUDA device with Triton a kernel does the same and leaves nothing but the crops in memory.
"""

import importlib.util
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from refocal.learning.networks.renderer import to_linear, to_srgb
from refocal.scenes.scene import Scene

PIXELS = {
    "cpu": 2**17,
    "cuda": 2**25,
}  # decoded at a time, 16 bytes each: what caches hold, what keeps a GPU busy
SPARE = 0.2  # of a GPU's free memory that views leave to the networks, at least


class CropRequest(NamedTuple):
    """A square that is wanted of a light field.

    Attributes
    ----------
    field : int
        Number of the light field.
    slope : float
        Pixels per view step, see `shiftadd`.
    top, left, side : int
        Pixels; the square lies within the views.
    """

    field: int
    slope: float
    top: int
    left: int
    side: int


@dataclass(frozen=True)
class Field:
    """Where a light field lies in memory: a row of zeros, then P x H rows of W pixels, each with_progress by a zero.

    Attributes
    ----------
    first : int
        Place of its first pixel.
    views, height, width : int
        P, H, W.
    steps : ndarray
        (P, 2) float64: u - uc and v - vc of each view.
    linear : bool
        Whether light is averaged.
    """

    first: int
    views: int
    height: int
    width: int
    steps: NDArray[np.float64]
    linear: bool

    @property
    def pixels(self) -> int:
        """Pixels in memory, the zeros among them."""
        return (1 + self.views * self.height) * (self.width + 1)

    def shifts(self, slope: float) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the whole and the fractional parts, (P, 2), of the shifts of all views down and right."""
        both = self.steps * slope
        whole = np.floor(both)
        return whole.astype(np.int64), (both - whole).astype(np.float32)


class LightFields:
    """The kept views of scenes, on a device.

    Parameters
    ----------
    scenes : sequence of Scene
        Light fields; number k of a `CropRequest` is the k-th of them.
    device : torch.device
        Takes 4 bytes a pixel of every view.

    Raises
    ------
    ValueError
        One line: a scene whose views were not kept, or more views than the device has memory for.
    """

    def __init__(self, scenes: Sequence[Scene], device: torch.device) -> None:
        self.fields: list[Field] = []
        first = 0
        for scene in scenes:
            views, height, width, _ = scene.views().shape
            steps = np.array(scene.places) - (np.array(scene.grid) - 1) / 2
            self.fields.append(Field(first, views, height, width, steps, scene.linear))
            first += self.fields[-1].pixels
        _check_memory(len(scenes), 4 * first, device)
        self.memory = torch.empty(first, dtype=torch.int32, device=device)  # (pixels,): R, G, B, 255 or zeros
        for scene, field in zip(scenes, self.fields, strict=True):
            self.memory[field.first : field.first + field.pixels] = _packed(scene.views())
        values = torch.arange(256, device=device) / 255
        self.tables = torch.stack([values, to_linear(values)])  # (2, 256)
        self.fused = device.type == "cuda" and _triton_works()

    def render(self, cuts: Sequence[CropRequest]) -> list[Tensor]:
        """Return what `shift_and_add` has at each cut: (3, side, side) float32, sRGB in [0, 1]."""
        if self.fused and cuts:
            from refocal.learning.data.view_kernel import average

            made = average(self.memory, self.tables, self.plan(cuts), [cut.side for cut in cuts])
        else:
            made = [self._average(cut) for cut in cuts]
        return [self._filled(cut, picture) for cut, picture in zip(cuts, made, strict=True)]

    def plan(self, cuts: Sequence[CropRequest]) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
        """Return what the kernel takes of N cuts: facts (N, 8), whole and fractional parts of the shifts (N, P, 2)."""
        most = max(self.fields[cut.field].views for cut in cuts)
        facts = np.zeros((len(cuts), 8), np.int64)
        whole, part = np.zeros((len(cuts), most, 2), np.int32), np.zeros((len(cuts), most, 2), np.float32)
        for n, cut in enumerate(cuts):
            field = self.fields[cut.field]
            size = field.views, field.height, field.width
            facts[n] = field.first, *size, cut.top, cut.left, cut.side, field.linear
            whole[n, : field.views], part[n, : field.views] = field.shifts(cut.slope)
        return facts, whole, part

    def _average(self, cut: CropRequest) -> Tensor:
        """Return the mean, NaN where no view has a tap."""
        field, size = self.fields[cut.field], cut.side + 1
        rows_of_pixels = self.memory[field.first : field.first + field.pixels].view(-1, field.width + 1)
        rows, columns = (torch.from_numpy(places).to(self.memory.device) for places in _windows(field, cut))
        weights = torch.from_numpy(_weights(field, cut)).to(self.memory.device)  # (4, P)
        sums = torch.zeros(4, 4 * size**2, device=self.memory.device)
        at_once = max(1, PIXELS[self.memory.device.type] // size**2)
        for start in range(0, field.views, at_once):
            now = slice(start, start + at_once)
            read = rows_of_pixels[rows[now, :, None], columns[now, None, :]].view(torch.uint8)  # (p, S + 1, 4 (S + 1))
            light = self.tables[1].index_select(0, read.flatten().int()) if field.linear else read.float()
            sums.addmm_(weights[:, now], light.view(len(read), -1))
        t = sums.view(2, 2, size, size, 4)
        total = t[0, 0, :-1, :-1] + t[0, 1, :-1, 1:] + t[1, 0, 1:, :-1] + t[1, 1, 1:, 1:]
        mean = (total[..., :3] / total[..., 3:]).clamp(0, 1)
        return (to_srgb(mean) if field.linear else mean).permute(2, 0, 1)

    def _filled(self, cut: CropRequest, picture: Tensor) -> Tensor:
        """Give pixels that no view has a tap for what the view next to the middle has nearest to them."""
        field = self.fields[cut.field]
        shifts = field.steps * cut.slope
        if (np.abs(shifts) < 1).all(axis=1).any():
            return picture  # that view has a tap for every pixel
        nearest = int(np.argmin((shifts**2).sum(axis=1)))
        y, x = (
            torch.from_numpy(np.clip(np.rint(start + np.arange(cut.side) + shift), 0, length - 1).astype(np.int64))
            for start, shift, length in zip(
                (cut.top, cut.left), shifts[nearest], (field.height, field.width), strict=True
            )
        )
        rows_of_pixels = self.memory[field.first : field.first + field.pixels].view(-1, field.width + 1)
        rows = (1 + nearest * field.height + y).to(self.memory.device)
        there = rows_of_pixels[rows[:, None], x.to(self.memory.device)].view(torch.uint8).view(cut.side, cut.side, 4)
        return torch.where(picture.isnan(), there[..., :3].permute(2, 0, 1) / 255, picture)


def bytes_needed(field: Field, cut: CropRequest) -> int:
    """Return how many bytes of 8-bit views, three a pixel, a cut cannot be made without."""
    rows, columns = _windows(field, cut)
    return int(3 * ((rows > 0).sum(axis=1) * (columns < field.width).sum(axis=1)).sum())


def _windows(field: Field, cut: CropRequest) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the row and column of pixels in memory, (P, S + 1) each, of all windows; of zeros what lies outside."""
    whole, _ = field.shifts(cut.slope)
    along = np.arange(cut.side + 1)
    y, x = cut.top + whole[:, :1] + along, cut.left + whole[:, 1:] + along
    rows = 1 + np.arange(field.views)[:, None] * field.height + y
    rows[(y < 0) | (y >= field.height)] = 0
    x[(x < 0) | (x >= field.width)] = field.width
    return rows, x


def _weights(field: Field, cut: CropRequest) -> NDArray[np.float32]:
    """Return the weights of the four taps, (4, P): upper left, upper right, lower left, lower right."""
    down, right = field.shifts(cut.slope)[1].T
    return np.stack([(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right])


def _packed(views: NDArray[np.uint8]) -> Tensor:
    """(P, H, W, 3) uint8 -> int32, flat, as `Field` lies in memory."""
    count, height, width, _ = views.shape
    pixels = np.zeros((1 + count * height, width + 1, 4), np.uint8)
    pixels[1:, :-1, :3] = views.reshape(-1, width, 3)
    pixels[1:, :-1, 3] = 255
    return torch.from_numpy(pixels.reshape(-1)).view(torch.int32)


def _triton_works() -> bool:
    """Tell whether Triton is there and what it needs besides, a C compiler; without, plain torch does the same."""
    compilers = (os.environ.get("CC"), shutil.which("gcc"), shutil.which("clang"))
    return importlib.util.find_spec("triton") is not None and any(compilers)


def _check_memory(scenes: int, needed: int, device: torch.device) -> None:
    """Raise a ValueError of one line where a GPU has too little memory left for the views."""
    if device.type != "cuda":
        return
    free, _ = torch.cuda.mem_get_info(device)
    if needed > (1 - SPARE) * free:
        raise ValueError(
            f"the views of {scenes} scenes take {needed / 2**30:.1f} GiB, the device has {free / 2**30:.1f} GiB free: "
            "train.on_the_fly needs fewer or smaller light fields, or on_the_fly = 0"
        )
