"""Build a generator by name."""

from collections.abc import Mapping
from typing import Any

from refocal.learning.networks.deblur import Deblur, DeblurConfig
from refocal.learning.networks.lens import Lens, LensConfig
from refocal.learning.networks.unet import UNet, UNetConfig

Generator = UNet | Lens | Deblur
Config = UNetConfig | LensConfig | DeblurConfig
_CONFIGS: dict[str, type[Config]] = {"unet": UNetConfig, "lens": LensConfig, "deblur": DeblurConfig}


def check_network(network: str) -> None:
    """Raise a ValueError where there is no generator of that name."""
    if network not in _CONFIGS:
        raise ValueError(f"network must be one of {', '.join(_CONFIGS)}, got {network!r}")


def config_of(network: str, values: Mapping[str, Any]) -> Config:
    """Return the configuration of a network, "unet", "lens" or "deblur", from plain values."""
    check_network(network)
    return _CONFIGS[network](**values)


def build_generator(config: Config, aperture_scale: float) -> Generator:
    """Build the generator of a configuration.

    "unet" is conditioned on focus and aperture as a code, "lens" renders, "deblur" makes sharp. `aperture_scale` is how
    many pixels an aperture of 1 in sigma stands for.
    """
    if isinstance(config, LensConfig):
        return Lens(config, aperture_scale)
    return UNet(config) if isinstance(config, UNetConfig) else Deblur(config)
