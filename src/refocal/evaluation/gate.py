"""Compare two sets of metrics, and name what is worse than its tolerance allows."""

from collections.abc import Mapping
from dataclasses import dataclass

LOWER_IS_BETTER = frozenset({"lpips"})  # scores whose name is part of a metric's dotted path
SLACK = 1e-9  # a difference of exactly what is allowed passes, whatever binary fractions make of it


@dataclass(frozen=True)
class Regression:
    """A metric that got worse by more than `allowed`, or is not there any more (`new` is None)."""

    metric: str
    old: float | None
    new: float | None
    allowed: float

    def __str__(self) -> str:
        if self.new is None:
            return f"{self.metric}: missing, was {'missing too' if self.old is None else self.old}"
        return f"{self.metric}: {self.old} -> {self.new}, worse than the {self.allowed} that is allowed"


def compare(
    old: Mapping[str, float | None], new: Mapping[str, float | None], tolerances: Mapping[str, float]
) -> list[Regression]:
    """Return what got worse, in the order of `tolerances`.

    Parameters
    ----------
    old, new
        Metrics by dotted path, such as `test.refocal.psnr.mean`; more is better but for LOWER_IS_BETTER.
    tolerances
        By the same paths: how much worse each may be. Other metrics are not compared. A metric that is not in `new`
        counts as worse, one that is not in `old` has nothing to be worse than.
    """
    found = []
    for metric, allowed in tolerances.items():
        before, now = old.get(metric), new.get(metric)
        if now is not None and before is None:
            continue
        if now is None or before is None or not _holds(metric, before, now, allowed):
            found.append(Regression(metric, before, now, allowed))
    return found


def _holds(metric: str, before: float, now: float, allowed: float) -> bool:
    """Tell whether `now` is good enough; NaN is not."""
    worse = now - before if LOWER_IS_BETTER & set(metric.split(".")) else before - now
    return worse <= allowed + SLACK
