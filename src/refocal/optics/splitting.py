"""Who may learn from what: scenes are dealt out by groups, so that related ones never stand on both sides."""

from collections.abc import Mapping

import numpy as np


def split_by_group(
    groups: Mapping[str, str], *, seed: int, validation: float, test: float, folds: int | None = None, fold: int = 0
) -> dict[str, str]:
    """Deal whole groups of related scenes out to train, validation and test.

    Parameters
    ----------
    groups : mapping
        Group of each scene, by name. The order of the mapping does not matter.
    seed : int
        Of the order in which groups are dealt.
    validation, test : float
        Fractions of the groups; with three groups or more, each part that has a fraction gets at least one.
    folds, fold : int
        k-fold instead: the fold-th of k parts is test, the next is validation (with three folds or more).

    Returns
    -------
    dict
        Split of each scene, by name, sorted.

    Raises
    ------
    ValueError
        More folds than groups, or a fold that is not there.
    """
    names = sorted(set(groups.values()))
    order = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    if folds is None:
        enough = len(order) >= 3
        tests = max(round(test * len(order)), int(test > 0 and enough))
        validations = max(round(validation * len(order)), int(validation > 0 and enough))
        parts = {"test": order[:tests], "validation": order[tests : tests + validations]}
    else:
        if not 2 <= folds <= len(order) or not 0 <= fold < folds:
            raise ValueError(f"folds must be 2 to the {len(order)} groups and fold below it, got {folds} and {fold}")
        following = [] if folds == 2 else order[(fold + 1) % folds :: folds]
        parts = {"test": order[fold::folds], "validation": following}
    split_of = {group: part for part, members in parts.items() for group in members}
    return {name: split_of.get(groups[name], "train") for name in sorted(groups)}
