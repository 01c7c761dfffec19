"""Build a generator by name."""

from refocal.learning.networks.lens import Lens, LensConfig
from refocal.learning.networks.unet import UNet, UNetConfig

Generator = UNet | Lens


def build_generator(network: str, unet: UNetConfig, lens: LensConfig, aperture_scale: float) -> Generator:
    """Build a generator: "unet", conditioned on focus and aperture as a code, or "lens", which renders.

    `aperture_scale` is how many pixels an aperture of 1 in sigma stands for.
    """
    if network not in ("unet", "lens"):
        raise ValueError(f"network must be unet or lens, got {network!r}")
    return UNet(unet) if network == "unet" else Lens(lens, aperture_scale)
