"""VGG16 is torchvision's, cut where it is said to be, frozen, and strong at every depth without training."""

from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision
from skimage import data
from torch import Tensor, nn

from refocal.learning.networks.vgg import LAYERS, VGGFeatures

VGG16_LAYERS = (2, 2, 3, 3, 3)  # convolutions between poolings, configuration D of the paper
WIDTHS = (64, 128, 256, 512, 512)


def photo(side: int = 128) -> Tensor:
    """Return a natural picture (1, 3, side, side) in [-1, 1]."""
    pixels = data.astronaut()[: 2 * side : 2, 100 : 100 + 2 * side : 2].astype(np.float32)
    return torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1


def original() -> nn.Sequential:
    """Return torchvision's own vgg16().features, seeded weights, without making its 124 million of the classifier."""
    with torch.device("meta"):
        features: nn.Sequential = torchvision.models.vgg16().features
    features.to_empty(device="cpu")
    random = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weights in features.parameters():
            weights.uniform_(-0.05, 0.06, generator=random)
    return features


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Sequential, Path]:
    features, path = original(), tmp_path_factory.mktemp("vgg") / "vgg16.pth"
    state = {f"features.{name}": value for name, value in features.state_dict().items()}
    torch.save(state | {"classifier.0.bias": torch.zeros(1)}, path)
    return features, path


def test_each_name_is_the_relu_behind_that_convolution_of_torchvision(trained: tuple[nn.Sequential, Path]) -> None:
    """From a file of torchvision's: the features of its own network, its input normalised as torchvision does."""
    features, path = trained
    image = photo(32)
    normalise = torchvision.models.VGG16_Weights.IMAGENET1K_V1.transforms()
    x = (image + 1) / 2
    x = (x - torch.tensor(normalise.mean)[:, None, None]) / torch.tensor(normalise.std)[:, None, None]
    wanted = []
    for module in features:
        x = module(x).clone()  # its ReLUs work in place
        if isinstance(module, nn.ReLU):
            wanted.append(x)
    found = VGGFeatures(str(path), LAYERS)(image)
    assert len(found) == len(LAYERS) == len(wanted) == 13
    for name, ours, theirs in zip(LAYERS, found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, msg=lambda line, name=name: f"{name}: {line}")


@pytest.mark.parametrize("block", [1, 2, 3, 4, 5])
def test_a_layer_has_the_width_and_size_of_its_block(block: int) -> None:
    count = VGG16_LAYERS[block - 1]
    (features,) = VGGFeatures("random", [f"relu{block}_{count}"])(photo(32))
    side = 32 // 2 ** (block - 1)
    assert features.shape == (1, WIDTHS[block - 1], side, side)
    assert features.min() == 0  # behind the ReLU, not before it


def test_it_goes_no_deeper_than_the_deepest_layer() -> None:
    network = VGGFeatures("random", ["relu2_2", "relu1_1"])
    assert sum(isinstance(module, nn.Conv2d) for module in network.model) == 4
    assert isinstance(network.model[-1], nn.ReLU)
    assert [features.shape[1] for features in network(photo(32))] == [64, 128]  # shallowest first, as they come


def test_random_features_keep_their_scale_through_all_layers_on_a_natural_picture() -> None:
    """A loss that averages layers would otherwise be that of one layer, and gradients vanish on the way."""
    stds = torch.stack([features.std() for features in VGGFeatures("random", LAYERS)(photo())])
    middle = stds.median()
    assert (stds > middle / 2).all()
    assert (stds < middle * 2).all()


def test_random_weights_are_the_same_each_time_and_take_nothing_from_the_training_s_random_numbers() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one = VGGFeatures("random", ["relu2_2"])
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    other = VGGFeatures("random", ["relu2_2"])
    torch.testing.assert_close(one(photo(32)), other(photo(32)), rtol=0, atol=0)


def test_the_picture_gets_a_gradient_and_the_weights_none() -> None:
    network, image = VGGFeatures(), photo(32).requires_grad_()
    assert not network.training
    assert not any(weights.requires_grad for weights in network.parameters())
    network(image)[-1].square().mean().backward()
    assert image.grad is not None
    assert (image.grad.abs().sum((0, 1)) > 0).float().mean() > 0.9


@pytest.mark.parametrize("layers", [[], ["relu1_3"], ["conv1_1"], ["relu6_1"], "relu1_2"])
def test_layers_that_are_none_or_unknown_are_refused(layers: list[str]) -> None:
    with pytest.raises(ValueError, match=r"layers must be some of relu1_1, .*relu5_3, got"):
        VGGFeatures("random", layers)


def test_a_file_that_is_not_there_or_no_vgg16_gives_one_line(tmp_path: Path) -> None:
    garbage, other, listed = tmp_path / "garbage.pth", tmp_path / "other.pth", tmp_path / "list.pth"
    garbage.write_bytes(b"no weights at all")
    torch.save(nn.Conv2d(3, 3, 1).state_dict(), other)
    torch.save([1, 2], listed)
    for path, why in ((garbage, "not a state dict"), (other, "Missing key"), (listed, "not a state dict")):
        with pytest.raises(ValueError, match=f"^vgg = {path}: .*{why}") as error:
            VGGFeatures(str(path))
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=r"nowhere.pth: no such file; allowed are imagenet, random"):
        VGGFeatures(str(tmp_path / "nowhere.pth"))


def test_imagenet_weights_come_from_torchvision_and_without_a_network_one_line_says_what_else_there_is(
    monkeypatch: pytest.MonkeyPatch, trained: tuple[nn.Sequential, Path]
) -> None:
    enum = torchvision.models.VGG16_Weights
    asked: list[Any] = []

    def load(weights: Any, **_: Any) -> dict[str, Tensor]:
        asked.append(weights)
        state: dict[str, Tensor] = torch.load(trained[1], weights_only=True)
        return state

    monkeypatch.setattr(enum, "get_state_dict", load)
    VGGFeatures("imagenet", ["relu1_1"])
    assert asked == [enum.IMAGENET1K_V1]

    def offline(*_: Any, **__: Any) -> None:
        raise URLError("Name or service\nnot known")

    monkeypatch.setattr(enum, "get_state_dict", offline)
    with pytest.raises(ValueError, match=r"^vgg = imagenet: .*not known.*path of a state dict, or random$"):
        VGGFeatures("imagenet")
