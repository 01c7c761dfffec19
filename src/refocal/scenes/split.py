"""Split scenes into training, validation and test, keeping related scenes together."""

from collections.abc import Mapping, Sequence

import numpy as np

from refocal.scenes.scene import Split


def split_by_group(
    groups: Mapping[str, str],
    *,
    seed: int,
    validation: float,
    test: float,
    folds: int | None = None,
    fold: int = 0,
) -> dict[str, Split]:
    """Deal scenes out to parts, whole groups at a time: what looks related is never in two parts.

    The groups are sorted, then shuffled by NumPy's seeded generator, so neither the order of listing nor the platform
    counts. Parts come as near to their share of the scenes as whole groups allow, and none that is wanted is empty.

    Parameters
    ----------
    groups
        The group of each scene, by name.
    seed
        Of the shuffle.
    validation, test
        Shares of the scenes in [0, 1); the rest is for training. 0: no such part.
    folds, fold
        Cross-validation instead of the shares: the groups are dealt to `folds` parts of like size, number `fold` is
        for test and the next for validation (none where `validation` is 0).

    Raises
    ------
    ValueError
        One line: too few groups, or numbers out of range.
    """
    if min(validation, test) < 0 or validation + test >= 1:
        raise ValueError(
            f"validation and test must be shares >= 0 that leave some for training, got {validation}, {test}"
        )
    members: dict[str, list[str]] = {}
    for name in sorted(groups):
        members.setdefault(groups[name], []).append(name)
    names = sorted(members)
    order = [names[index] for index in np.random.default_rng(seed).permutation(len(names))]
    sizes = {group: len(members[group]) for group in order}
    wanted = (test > 0 or folds is not None, validation > 0)
    if len(order) < 1 + sum(wanted):
        raise ValueError(
            f"groups: a split in {1 + sum(wanted)} parts needs as many groups of scenes, got {len(order)}: {names}"
        )
    if folds is None:
        parts = _by_share(order, sizes, test, validation)
    else:
        parts = _by_fold(order, sizes, folds, fold, with_validation=validation > 0)
    tests, validations = (set(part) for part in parts)

    def part_of(group: str) -> Split:
        return "test" if group in tests else "validation" if group in validations else "train"

    return {name: part_of(groups[name]) for name in sorted(groups)}


def _by_share(
    order: Sequence[str], sizes: Mapping[str, int], test: float, validation: float
) -> tuple[list[str], list[str]]:
    """Return the groups of test and of validation."""
    left = list(order)
    parts: tuple[list[str], list[str]] = ([], [])
    for part, share, kept in ((parts[0], test, 1 + (validation > 0)), (parts[1], validation, 1)):
        target, count = share * sum(sizes.values()), 0
        for group in order if share > 0 else ():
            nearer = abs(count + sizes[group] - target) <= abs(count - target)
            if group in left and nearer and len(left) > kept:
                part.append(group)
                left.remove(group)
                count += sizes[group]
        if share > 0 and not part:  # every group overshoots: the smallest does so least
            part.append(min(left, key=lambda group: sizes[group]))
            left.remove(part[0])
    return parts


def _by_fold(
    order: Sequence[str], sizes: Mapping[str, int], folds: int, fold: int, *, with_validation: bool
) -> tuple[list[str], list[str]]:
    """Return the groups of test and of validation: the largest first, each to the fold of fewest scenes."""
    least = 3 if with_validation else 2
    if not (least <= folds <= len(order) and 0 <= fold < folds):
        raise ValueError(f"folds must be {least} to {len(order)} (the groups) and fold below it, got {folds}, {fold}")
    dealt: list[list[str]] = [[] for _ in range(folds)]
    for group in sorted(order, key=lambda group: -sizes[group]):
        min(dealt, key=lambda part: (sum(sizes[member] for member in part), len(part))).append(group)
    return dealt[fold], dealt[(fold + 1) % folds] if with_validation else []
