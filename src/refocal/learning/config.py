"""The configuration of a training, as plain values: `params.yaml` holds the same, checked, for the pipeline."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from refocal.learning.networks.deblur import DeblurConfig
from refocal.learning.networks.generator import Config, check_network
from refocal.learning.networks.lens import LensConfig
from refocal.learning.networks.patchgan import PatchGANConfig
from refocal.learning.networks.unet import UNetConfig


@dataclass(frozen=True)
class LossConfig:
    """Weights of the generator's losses; a loss of weight 0 is not computed."""

    adversarial: float = 1
    perceptual: float = 100
    l1: float = 0
    ssim: float = 0  # 1 - SSIM
    disparity: float = 0  # of what a lens generator finds, where the true one is known
    order: float = 0  # of what it finds along the edges of masks
    vgg: str = "random"  # "imagenet", "random", or a path to a state dict
    layers: tuple[str, ...] = ("relu1_2", "relu2_2", "relu3_3")

    @property
    def compares_images(self) -> bool:
        """Whether a loss compares refocused pictures at all."""
        return bool(self.adversarial or self.perceptual or self.l1 or self.ssim)


@dataclass(frozen=True)
class TrainConfig:
    """The description's schedule by default: Adam 2e-4 for 100 epochs, and 100 more with the rate going to 0."""

    seed: int = 0
    network: str = "unet"  # or "lens", "deblur"
    lens: LensConfig = field(default_factory=LensConfig)
    unet: UNetConfig = field(default_factory=UNetConfig)
    deblur: DeblurConfig = field(default_factory=DeblurConfig)
    discriminator: PatchGANConfig = field(default_factory=PatchGANConfig)
    losses: LossConfig = field(default_factory=LossConfig)
    epochs: int = 100  # at the full learning rate
    epochs_decay: int = 100  # then linearly to 0
    batch: int = 12
    crop: int = 256
    crops_per_pair: int = 1  # crops that an epoch takes from each (photo, level)
    weights: Mapping[str, float] = field(default_factory=dict)  # how often, relative to that, by collection or kind
    zoom: float | None = None  # crops of this share of a scene's short side up to all of it, resized; None: as they are
    jitter: float = 0  # of exposure, colours and gamma
    rendered: float = 0  # share of each batch that is drawn and rendered, see `Rendered`
    composites: float = 0  # share of those: cut-outs before photos of known disparity
    on_the_fly: float = 0  # share of the crops of light fields whose targets are rendered at any focus
    init: str | None = None  # a generator.pt to start from; None: random weights
    imagenet: str | None = None  # weights of ImageNet for the encoder of a lens generator that starts from none
    given_disparity: float = 0.5  # share of the crops for which a lens generator is given the true disparity
    learning_rate: float = 2e-4
    encoder_rate: float = 1  # share of it for the encoder of a lens generator, which may know pictures already
    betas: tuple[float, float] = (0.5, 0.999)
    ema: float = 0.999  # decay of the generator's moving average, the one that is exported; 0: none
    precision: str = "float32"  # or "bfloat16": autocast, the weights stay float32
    channels_last: bool = True
    compile: bool = False
    device: str = "auto"  # or "cpu", "cuda"
    workers: int = 0  # processes that read crops; 0: the training process itself
    checkpoint_every: int = 500  # steps
    validate_every: int = 500  # steps between validations

    @property
    def own(self) -> Config:
        """The configuration of the network that is trained."""
        check_network(self.network)
        own: Config = getattr(self, self.network)
        return own
