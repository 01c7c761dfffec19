"""The depth network that the operator of the service chose, if any."""

from typing import get_args

from refocal.depth.disparity import Kind
from refocal.depth.networks import DepthNetwork, open_network
from refocal.depth.onnx_network import PRESETS
from refocal.serving.settings import Settings


def depth_network(settings: Settings) -> DepthNetwork | None:
    """Open the network of `REFOCAL_DEPTH_MODEL`; None where it is not set.

    Raises
    ------
    ValueError
        One line that names the variable, its value and what is allowed.
    """
    if not settings.depth_model:
        others = ("depth_preset", "depth_size", "depth_mean", "depth_std", "depth_kind")
        alone = [f"REFOCAL_{name.upper()}" for name in others if getattr(settings, name)]
        if alone:
            raise ValueError(f"{alone[0]} says how to use REFOCAL_DEPTH_MODEL, which is not set")
        return None
    for name, value, allowed in (
        ("REFOCAL_DEPTH_PRESET", settings.depth_preset, tuple(PRESETS)),
        ("REFOCAL_DEPTH_KIND", settings.depth_kind, get_args(Kind)),
    ):
        if value and value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
    try:
        return open_network(
            settings.depth_model,
            preset=settings.depth_preset or None,
            size=settings.depth_size or None,
            mean=_colours(settings.depth_mean, "REFOCAL_DEPTH_MEAN"),
            std=_colours(settings.depth_std, "REFOCAL_DEPTH_STD"),
            gives=settings.depth_kind or None,
            threads=settings.session_threads,
        )
    except ValueError as error:
        raise ValueError(f"REFOCAL_DEPTH_MODEL {settings.depth_model}: {error}") from None


def _colours(text: str, name: str) -> tuple[float, ...] | None:
    if not text:
        return None
    try:
        numbers = tuple(float(word) for word in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != 3:
        raise ValueError(f"{name} must be R,G,B, as 0.5,0.5,0.5, got {text!r}")
    return numbers
