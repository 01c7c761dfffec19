"""What a camera does to an image after the lens: tone, noise, JPEG. Batched torch, on any device.

Pictures are (N, 3, H, W) float32, sRGB in [0, 1].
"""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

# Quantisation for quality 50 (ITU-T T.81, tables K.1 and K.2), and the colours that JPEG works in (T.871, section 6).
LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMA = ((17, 18, 24, 47), (18, 21, 26, 66), (24, 26, 56, 99), (47, 66, 99, 99))  # the rest is 99
TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))


def vary_tone(random: np.random.Generator, pictures: list[Tensor]) -> list[Tensor]:
    """Change exposure, colour balance and gamma, the same for pictures of the same place; rarely to grey."""
    count, device = len(pictures[0]), pictures[0].device

    def drawn(deviation: float, channels: int) -> Tensor:
        values = np.exp(random.normal(0, deviation, (count, channels, 1, 1)).clip(-0.5, 0.5))
        return torch.tensor(values, dtype=torch.float32, device=device)

    gamma, gain = drawn(0.15, 1), drawn(0.1, 1) * drawn(0.05, 3)
    grey = torch.tensor(random.random((count, 1, 1, 1)) < 0.03, device=device)
    made = [(picture**gamma * gain).clamp(0, 1) for picture in pictures]
    return [torch.where(grey, picture.mean(1, keepdim=True), picture) for picture in made]


def degrade(random: np.random.Generator, picture: Tensor, share: slice = slice(None), count: int = 0) -> Tensor:
    """Add what a sensor and a file add, to half of the pictures each: noise, stronger in the light, and JPEG blocks.

    Where the pictures are but a `share` of `count`, they get what they would get among all of them.
    """
    count, device = count or len(picture), picture.device

    def drawn(low: float, high: float, part: float) -> Tensor:
        values = random.uniform(low, high, (count, 1, 1, 1)) * (random.random((count, 1, 1, 1)) < part)
        return torch.tensor(values[share], dtype=torch.float32, device=device)

    generator = torch.Generator(device).manual_seed(int(random.integers(2**62)))
    noise = torch.randn((count, *picture.shape[1:]), generator=generator, device=device)[share]
    read, shot = drawn(0.0, 0.012, 0.5), drawn(0.0, 0.02, 0.5)
    noisy = (picture + noise * torch.sqrt(read**2 + shot**2 * picture)).clamp(0, 1)
    quality = random.uniform(50, 96, count)[share]
    pressed = torch.tensor((random.random((count, 1, 1, 1)) < 0.5)[share], device=device)
    return torch.where(pressed, jpeg(noisy, torch.tensor(quality, dtype=torch.float32, device=device)), noisy)


def jpeg(picture: Tensor, quality: Tensor) -> Tensor:
    """Quantise 8 x 8 blocks as JPEG of a quality (N,) in [1, 100] does, without subsampling the colours."""
    high, wide = picture.shape[-2:]
    padded = F.pad(picture, (0, -wide % 8, 0, -high % 8), mode="replicate")
    colours = torch.tensor(TO_YCC, device=picture.device)
    ycc = torch.einsum("ij,njhw->nihw", colours, padded * 255)
    ycc[:, 0] -= 128
    n, c, h, w = ycc.shape
    dct, table = _dct(picture.device), _tables(quality)[:, :, None, None]  # (N, 3, 1, 1, 8, 8)
    blocks = ycc.reshape(n, c, h // 8, 8, w // 8, 8).transpose(3, 4)
    kept = torch.round(dct @ blocks @ dct.T / table) * table
    ycc = (dct.T @ kept @ dct).transpose(3, 4).reshape(n, c, h, w)
    ycc[:, 0] += 128
    rgb = torch.einsum("ij,njhw->nihw", torch.linalg.inv(colours), ycc)
    return (rgb.clamp(0, 255).round() / 255)[..., :high, :wide]


def _tables(quality: Tensor) -> Tensor:
    """Scale the tables as the IJG's library does: (N,) -> (N, 3, 8, 8)."""
    chroma = torch.full((8, 8), 99.0)
    chroma[:4, :4] = torch.tensor(CHROMA, dtype=torch.float32)
    base = torch.stack([torch.tensor(LUMA, dtype=torch.float32), chroma, chroma]).to(quality.device)
    percent = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)
    return torch.floor((base * percent[:, None, None, None] + 50) / 100).clamp(1, 255)


def _dct(device: torch.device) -> Tensor:
    """Return the orthonormal DCT-II of eight values as a matrix."""
    rows, columns = torch.arange(8.0)[:, None], torch.arange(8.0)[None]
    matrix = torch.cos(math.pi / 8 * (columns + 0.5) * rows) / 2
    matrix[0] /= math.sqrt(2)
    return matrix.to(device)
