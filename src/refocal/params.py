"""params.yaml as frozen models: checked once, before a stage runs; unknown keys are errors."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Fraction = Annotated[float, Field(ge=0, le=1)]
Focus = Annotated[float, Field(ge=-1, le=1)]
Weight = Annotated[float, Field(ge=0)]


class Section(BaseModel):
    """A part of params.yaml: immutable, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Split(Section):
    """How scenes are dealt out; the rest of the groups is for training."""

    seed: int = 0
    validation: Fraction = 0.2
    test: Fraction = 0.2
    folds: Annotated[int, Field(ge=2)] | None = None  # k-fold instead of the fractions, where scenes are few
    fold: Annotated[int, Field(ge=0)] = 0  # which of them is the test part

    @model_validator(mode="after")
    def _leaves_training(self) -> "Split":
        if self.validation + self.test >= 1:
            raise ValueError(f"validation + test must leave scenes for training, got {self.validation} + {self.test}")
        if self.folds is not None and self.fold >= self.folds:
            raise ValueError(f"fold must be below folds = {self.folds}, got {self.fold}")
        return self


class Stack(Section):
    """Section `stack`: light fields -> prepared scenes."""

    data: str = "data"
    levels: tuple[Focus, ...] = (-1, -0.5, 0, 0.5, 1)  # trained on
    levels_between: tuple[Focus, ...] = (-0.75, -0.25, 0.25, 0.75)  # never trained on, evaluated apart
    slope_range: tuple[float, float] | None = None  # (far, near) in px/view for all; None: each by plane sweep
    pupil: Literal["circular", "square"] = "circular"
    linear: bool = True
    stack_side: Annotated[int, Field(ge=32)] = 512  # short side that slices of focal stacks are reduced to
    keep_views: bool = False  # of light fields, with their scenes, for train.on_the_fly
    split: Split = Split()
    workers: Annotated[int, Field(ge=0)] = 0  # processes; 0: one a core
    engine: Literal["local", "ray"] = "local"
    on_error: Literal["skip", "stop"] = "stop"


class UNetParams(Section):
    """The sigma-conditioned U-Net of the description."""

    num_downs: Annotated[int, Field(ge=2, le=9)] = 6
    ngf: Annotated[int, Field(ge=4)] = 64
    upsampling: Literal["resize", "transposed"] = "resize"
    residual: bool = False


class Widths(Section):
    """Channels and blocks of a network at each of its sizes."""

    widths: tuple[Annotated[int, Field(ge=4)], ...]
    blocks: tuple[Annotated[int, Field(ge=0)], ...]

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if not self.widths or len(self.widths) != len(self.blocks):
            raise ValueError(f"widths and blocks must be lists of one length, got {self.widths} and {self.blocks}")
        return self


class LensParams(Widths):
    """The physics-guided generator: disparity, renderer, refiner."""

    widths: tuple[Annotated[int, Field(ge=4)], ...] = (32, 64, 128, 192)
    blocks: tuple[Annotated[int, Field(ge=0)], ...] = (1, 2, 2, 4)
    planes: Annotated[int, Field(ge=2)] = 16
    refiner: Annotated[int, Field(ge=0)] = 16
    pupil: Literal["circular", "square"] = "circular"
    highlights: Annotated[float, Field(ge=1)] = 1
    encoder: Literal["plain", "efficientnet_lite0"] = "plain"


class DeblurParams(Widths):
    """The generator that makes photos sharp."""

    widths: tuple[Annotated[int, Field(ge=4)], ...] = (32, 64, 96, 128)
    blocks: tuple[Annotated[int, Field(ge=0)], ...] = (1, 2, 2, 2)


class PatchGANParams(Section):
    """The discriminator."""

    ndf: Annotated[int, Field(ge=4)] = 64
    layers: Annotated[int, Field(ge=1, le=5)] = 3
    sigma: bool = False


class LossParams(Section):
    """Weights of the generator's losses, and where the perceptual one gets its VGG16."""

    adversarial: Weight = 1
    perceptual: Weight = 100
    l1: Weight = 0
    ssim: Weight = 0
    disparity: Weight = 0  # of what a lens generator finds
    order: Weight = 0  # of what it finds along the edges of masks
    vgg: str = "random"  # "imagenet", "random", or a path to a state dict
    layers: tuple[str, ...] = ("relu1_2", "relu2_2", "relu3_3")


class Train(Section):
    """Section `train`: prepared scenes -> generator."""

    seed: int = 0
    network: Literal["unet", "lens", "deblur"] = "unet"
    unet: UNetParams = UNetParams()
    lens: LensParams = LensParams()
    deblur: DeblurParams = DeblurParams()
    discriminator: PatchGANParams = PatchGANParams()
    losses: LossParams = LossParams()
    epochs: Annotated[int, Field(ge=0)] = 100  # at the full learning rate
    epochs_decay: Annotated[int, Field(ge=0)] = 100  # then linearly to 0
    batch: Annotated[int, Field(ge=1)] = 12
    crop: Annotated[int, Field(ge=16)] = 256
    crops_per_pair: Annotated[int, Field(ge=1)] = 1  # crops an epoch takes from each (photo, level)
    weights: dict[str, Weight] = {}  # of collections or kinds of scenes
    jitter: Fraction = 0
    rendered: Annotated[float, Field(ge=0, lt=1)] = 0
    composites: Fraction = 0  # of what is rendered: cut-outs before photos of known disparity
    on_the_fly: Fraction = 0  # of the crops of light fields: their targets are rendered at any focus
    init: str | None = None
    imagenet: str | None = None
    zoom: Annotated[float, Field(gt=0, le=1)] | None = None
    given_disparity: Fraction = 0.5
    learning_rate: Annotated[float, Field(gt=0)] = 2e-4
    encoder_rate: Fraction = 1
    betas: tuple[Fraction, Fraction] = (0.5, 0.999)
    ema: Fraction = 0.999  # decay of the generator's moving average, the one that is exported; 0: none
    precision: Literal["float32", "bfloat16"] = "float32"
    channels_last: bool = True
    compile: bool = False
    device: Literal["auto", "cpu", "cuda"] = "auto"
    workers: Annotated[int, Field(ge=0)] = 0
    checkpoint_every: Annotated[int, Field(ge=1)] = 500  # steps
    validate_every: Annotated[int, Field(ge=1)] = 500  # steps
    processes: Annotated[int, Field(ge=1)] = 1  # that share each batch, on this machine


class Original(Section):
    """Section `original`: what the original's recipe has otherwise than `train`; data and budget are the same."""

    network: Literal["unet"] = "unet"
    unet: UNetParams = UNetParams()
    discriminator: PatchGANParams = PatchGANParams()
    losses: LossParams = LossParams()
    learning_rate: Annotated[float, Field(gt=0)] = 2e-4
    init: None = None


class Deblur(Section):
    """Section `deblur`: what the training of the generator that deblurs has otherwise than `train`."""

    network: Literal["deblur"] = "deblur"
    deblur: DeblurParams = DeblurParams()
    losses: LossParams = LossParams(adversarial=0, perceptual=0, l1=20, ssim=1)
    epochs: Annotated[int, Field(ge=0)] = 0
    epochs_decay: Annotated[int, Field(ge=0)] = 100
    batch: Annotated[int, Field(ge=1)] = 8
    crop: Annotated[int, Field(ge=16)] = 128
    crops_per_pair: Annotated[int, Field(ge=1)] = 1
    zoom: Annotated[float, Field(gt=0, le=1)] | None = None
    jitter: Fraction = 0.25
    weights: dict[str, Weight] = {}
    rendered: Annotated[float, Field(ge=0, lt=1)] = 0
    composites: Fraction = 0
    init: str | None = None
    learning_rate: Annotated[float, Field(gt=0)] = 2e-4
    ema: Fraction = 0.999


class Export(Section):
    """Section `export`: generator -> ONNX."""

    opset: Annotated[int, Field(ge=18)] = 20
    tolerance: Annotated[float, Field(gt=0)] = 1e-4


class Evaluate(Section):
    """Section `evaluate`: ONNX -> metrics, plots, pictures."""

    splits: tuple[Literal["validation", "test"], ...] = ("validation", "test")
    bootstrap: Annotated[int, Field(ge=100)] = 2000
    seed: int = 0
    tile: Annotated[int, Field(ge=64)] = 1024
    threads: Annotated[int, Field(ge=0)] = 0


class Gate(Section):
    """Section `gate`: by how much a score may be worse than on the base revision; others are not gated."""

    tolerances: dict[str, Weight] = {}


class Params(Section):
    """The whole of params.yaml."""

    preset: str = "sample"  # a name for people: the values count
    stack: Stack = Stack()
    train: Train = Train()
    original: Original = Original()
    deblur: Deblur = Deblur()
    export: Export = Export()
    evaluate: Evaluate = Evaluate()
    gate: Gate = Gate()


def read_params(path: str | Path = "params.yaml") -> Params:
    """Read and check a params file.

    Raises
    ------
    ValueError
        One line that names the file, the key and what is allowed.
    """
    try:
        content: Any = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
        return Params.model_validate(content)
    except FileNotFoundError:
        raise ValueError(f"no parameters at {path}: run in the folder that holds params.yaml") from None
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise ValueError(f"{path}: {key}: {first['msg']} (got {first['input']!r})") from None
