"""The split by group: related scenes stay together, nothing but names and seed counts, no part is empty."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refocal.scenes.split import split_by_group

TWENTY = {f"{n:02}": f"g{n % 8}" for n in range(20)}
GROUPS = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.sampled_from("pqrstuvw"), min_size=3)


@settings(deadline=None, max_examples=60)
@given(
    groups=GROUPS,
    seed=st.integers(0, 99),
    validation=st.sampled_from([0.1, 0.2, 0.4]),
    test=st.sampled_from([0.1, 0.3]),
)
def test_groups_stay_together_and_no_part_is_empty(
    groups: dict[str, str], seed: int, validation: float, test: float
) -> None:
    if len(set(groups.values())) < 3:
        return
    split = split_by_group(groups, seed=seed, validation=validation, test=test)
    assert list(split) == sorted(groups)
    assert set(split.values()) == {"train", "validation", "test"}
    for group in groups.values():
        assert len({split[name] for name in groups if groups[name] == group}) == 1


@settings(deadline=None, max_examples=30)
@given(names=st.permutations(list(TWENTY)), seed=st.integers(0, 99))
def test_the_order_of_listing_does_not_count(names: list[str], seed: int) -> None:
    shuffled = {name: TWENTY[name] for name in names}
    wanted = split_by_group(TWENTY, seed=seed, validation=0.2, test=0.25)
    assert split_by_group(shuffled, seed=seed, validation=0.2, test=0.25) == wanted


def test_the_split_is_the_same_on_every_machine() -> None:
    """Reference values: NumPy's PCG64 and its permutation are the same everywhere."""
    split = split_by_group({name: name for name in "abcdefgh"}, seed=3, validation=0.25, test=0.25)
    assert "".join(split[name][1] for name in "abcdefgh") == "raarrree"
    assert len({str(split_by_group(TWENTY, seed=seed, validation=0.2, test=0.2)) for seed in range(5)}) > 1


def test_parts_come_near_their_shares() -> None:
    counts = Counter(split_by_group(TWENTY, seed=0, validation=0.2, test=0.25).values())
    assert abs(counts["validation"] - 4) <= 1
    assert abs(counts["test"] - 5) <= 1


def test_a_giant_group_is_trained_on() -> None:
    groups = {f"{n}": "shelf" for n in range(30)} | {"x": "x", "y": "y", "z": "z"}
    for seed in range(8):
        split = split_by_group(groups, seed=seed, validation=0.1, test=0.1)
        assert split["0"] == "train"


def test_folds_test_every_scene_once_and_balance_sizes() -> None:
    folds = [split_by_group(TWENTY, seed=1, validation=0.2, test=0.2, folds=4, fold=fold) for fold in range(4)]
    assert Counter(name for split in folds for name in split if split[name] == "test") == dict.fromkeys(TWENTY, 1)
    for fold, split in enumerate(folds):
        counts = Counter(split.values())
        assert counts["test"] == 5
        following = folds[(fold + 1) % 4]
        assert {n for n in split if split[n] == "validation"} == {n for n in following if following[n] == "test"}


def test_a_share_of_zero_is_no_part() -> None:
    assert set(split_by_group({"a": "a"}, seed=0, validation=0, test=0).values()) == {"train"}
    assert set(split_by_group({"a": "a", "b": "b"}, seed=0, validation=0, test=0.2).values()) == {"train", "test"}


@pytest.mark.parametrize(
    ("groups", "options", "message"),
    [
        ({"a": "g", "b": "g", "c": "h"}, {}, "3 parts needs as many groups of scenes, got 2"),
        (TWENTY, {"test": 0.8}, "leave some for training"),
        (TWENTY, {"folds": 9}, "folds must be 3 to 8"),
        (TWENTY, {"folds": 4, "fold": 4}, "fold below it"),
        (TWENTY, {"folds": 2}, "folds must be 3 to 8"),
    ],
)
def test_what_cannot_be_split_is_said(groups: dict[str, str], options: dict[str, float], message: str) -> None:
    given_ = {"validation": 0.2, "test": 0.2} | options
    with pytest.raises(ValueError, match=message):
        split_by_group(groups, seed=0, **given_)  # type: ignore[arg-type]
