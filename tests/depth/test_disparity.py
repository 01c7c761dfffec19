"""Any depth map becomes focus units, at the photo's size and along its edges."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image

from refocal.depth.disparity import Depth, to_focus
from refocal.depth.upsampling import enlarge

SIDES = hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)
MAPS = st.one_of(
    hnp.arrays(np.float32, SIDES, elements=st.floats(-1000, 1000, width=32)),
    hnp.arrays(np.float64, SIDES),  # NaN, infinities, the smallest and the largest
    hnp.arrays(np.uint16, SIDES),
    hnp.arrays(np.int8, SIDES),
)
METRES = hnp.arrays(np.float64, SIDES, elements=st.floats(0.125, 64))


@given(MAPS, st.sampled_from(["disparity", "depth", "inverted"]))
def test_focus_units_lie_in_their_range_whatever_the_map(disparity: NDArray, kind: str) -> None:
    known = np.isfinite(disparity) & ((disparity > 0) if kind == "depth" else True)
    if kind == "depth":
        with np.errstate(over="ignore", divide="ignore"):
            known &= np.isfinite(1 / disparity.astype(np.float32 if disparity.itemsize <= 2 else np.float64))
    if not known.any():
        with pytest.raises(ValueError, match="disparity must hold known values"):
            to_focus(disparity, kind=kind)
        return
    focus = to_focus(disparity, kind=kind)
    assert (focus.dtype, focus.shape) == (np.float32, disparity.shape)
    assert np.abs(focus).max() <= 1


@given(hnp.arrays(np.int16, SIDES))
def test_what_is_nearer_is_never_mapped_farther(disparity: NDArray) -> None:
    order = np.argsort(disparity, axis=None)
    assert (np.diff(to_focus(disparity).ravel()[order]) >= 0).all()
    assert (np.diff(to_focus(disparity, (-100, 100)).ravel()[order]) >= 0).all()


@given(METRES)
def test_depth_is_inverted_first(depth: NDArray) -> None:
    np.testing.assert_array_equal(to_focus(depth, kind="depth"), to_focus(1 / depth))
    assert (np.diff(to_focus(depth, kind="depth").ravel()[np.argsort(depth, axis=None)]) <= 0).all()
    np.testing.assert_allclose(to_focus(depth, (32, 0.5), "depth"), to_focus(1 / depth, (1 / 32, 2)), atol=1e-6)


@given(hnp.arrays(np.float32, SIDES, elements=st.floats(-10, 10, width=32)), st.floats(0.5, 8), st.floats(-9, 9))
def test_unit_and_origin_of_a_disparity_do_not_matter(disparity: NDArray, gain: float, lift: float) -> None:
    if np.ptp(disparity) > 0.1:
        np.testing.assert_allclose(to_focus(disparity * gain + lift), to_focus(disparity), atol=2e-3)


def test_without_a_range_the_1_and_99_percentiles_are_the_ends() -> None:
    disparity = np.random.default_rng(0).permutation(np.arange(1001.0)).reshape(7, 143)
    focus = to_focus(disparity)
    np.testing.assert_allclose(focus, np.clip((disparity - 10) / 490 - 1, -1, 1), atol=1e-6)


def test_a_range_maps_linearly_and_clips() -> None:
    np.testing.assert_allclose(to_focus(np.array([[-5, 0, 1, 2, 4, 9]]), (0, 4)), [[-1, -1, -0.5, 0, 1, 1]])
    metres = np.array([[0.25, 0.5, 1, 2, np.inf]])  # what is not measured is as its neighbour, not infinitely far
    np.testing.assert_allclose(to_focus(metres, (np.inf, 0.5), "depth"), [[1, 1, 0, -0.5, -0.5]])


def test_a_small_object_before_a_plane_is_still_nearer() -> None:
    disparity = np.zeros((20, 20))
    disparity[3, 4] = 2
    assert (to_focus(disparity)[3, 4], to_focus(disparity)[0, 0]) == (1, -1)


@given(st.floats(0.001, 1e6), SIDES, st.sampled_from(["disparity", "depth", "inverted"]))
def test_a_constant_map_is_in_the_middle(value: float, size: tuple[int, int], kind: str) -> None:
    np.testing.assert_array_equal(to_focus(np.full(size, value), kind=kind), 0)


@given(st.integers(0, 2**32), st.integers(1, 30), st.integers(1, 30), st.floats(0, 0.98))
def test_unknown_pixels_get_the_value_of_the_nearest_known_or_one_about_as_near(
    seed: int, height: int, width: int, holes: float
) -> None:
    random = np.random.default_rng(seed)
    disparity = random.random((height, width))
    unknown = random.random((height, width)) < holes
    unknown[random.integers(height), random.integers(width)] = False
    full = to_focus(np.where(unknown, np.nan, disparity), (0, 1))
    rows, columns = np.nonzero(~unknown)
    for y, x in np.argwhere(unknown):
        distance = np.hypot(rows - y, columns - x)
        taken = np.abs(full[rows, columns] - full[y, x]) < 1e-6
        assert distance[taken].min() <= 1.5 * distance.min() + 1


@pytest.mark.parametrize("wrong", [0, -1, np.nan, np.inf, -np.inf])
def test_no_depth_is_not_infinitely_near(wrong: float) -> None:
    np.testing.assert_allclose(to_focus(np.array([[1, wrong, 4, 4, 4, 4]]), (4, 1), "depth"), [[1, 1, -1, -1, -1, -1]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((2, 2, 3)),), r"disparity must be an \(H, W\) array"),
        (([[1, 2]],), r"disparity must be an \(H, W\) array of integers or floats, got <class 'list'>"),
        ((np.zeros((2, 2), complex),), "disparity must be .*complex"),
        ((np.zeros((2, 2), bool),), "disparity must be .*bool"),
        ((np.zeros((0, 2)),), "disparity must hold known values"),
        ((np.full((2, 2), np.nan),), "disparity must hold known values"),
        ((np.zeros((2, 2)), None, "depth"), "disparity must hold known values"),
        ((np.zeros((2, 2)), None, "metres"), "kind must be one of disparity, depth, inverted, got 'metres'"),
        ((np.zeros((2, 2)), (1, 0)), r"disparity_range of a disparity must be \(far, near\), far < near, got \(1, 0\)"),
        ((np.zeros((2, 2)), (0, np.nan)), "disparity_range"),
        ((np.zeros((2, 2)), (0, np.inf)), "disparity_range"),
        ((np.zeros((2, 2)), (0, 1, 2)), "disparity_range"),
        ((np.zeros((2, 2)), "far"), "disparity_range"),
        ((np.zeros((2, 2)), 3), "disparity_range"),
        ((np.zeros((2, 2)), (1, 2), "depth"), r"disparity_range of a depth must be \(far, near\), far > near > 0"),
        ((np.zeros((2, 2)), (1, 0), "depth"), "far > near > 0"),
    ],
)
def test_what_is_no_map_is_refused_in_one_line(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        to_focus(*arguments)
    assert "\n" not in str(caught.value)


def scene(height: int, width: int, texture: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a photo of a disc before a plane, and its disparity."""
    y, x = np.mgrid[:height, :width]
    near = (x - 0.45 * width) ** 2 + (y - 0.5 * height) ** 2 < (0.3 * height) ** 2
    colour = np.where(near[..., None], [0.7, 0.4, 0.3], [0.3, 0.45, 0.6])
    colour += texture * np.random.default_rng(0).normal(size=colour.shape)
    return np.clip(colour, 0, 1).astype(np.float32), np.where(near, 0.8, -0.6).astype(np.float32)


def blocks(image: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    height, width = image.shape
    return image.reshape(height // size, size, width // size, size).mean((1, 3))


def bilinear(image: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))


@pytest.mark.parametrize(("texture", "share"), [(0, 0.3), (0.03, 0.45), (0.05, 0.65)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_edges_of_the_photo_are_kept(texture: float, share: float, dtype: type) -> None:
    """Wrong by less than `share` of what plain bilinear enlargement is wrong by."""
    photo, truth = scene(240, 320, texture)
    top = 1 if dtype is np.float32 else np.iinfo(dtype).max
    out = enlarge(blocks(truth, 8), (photo * top).astype(dtype))
    error, plain = (np.abs(got - truth).mean() for got in (out, bilinear(blocks(truth, 8), truth.shape)))
    assert error < share * plain


def test_an_edge_in_the_photo_alone_does_not_leak() -> None:
    photo, _ = scene(240, 320, 0.05)
    ramp = np.linspace(-1, 1, 320, dtype=np.float32)[None].repeat(240, axis=0)
    plain = bilinear(blocks(ramp, 8), ramp.shape)
    assert np.abs(enlarge(blocks(ramp, 8), photo) - plain).mean() < 0.01  # of a range of 2


def test_an_edge_in_the_disparity_alone_stays_as_sharp_as_it_was() -> None:
    _, truth = scene(240, 320, 0)
    grey = np.full((240, 320), 128, np.uint8)
    np.testing.assert_allclose(enlarge(blocks(truth, 8), grey), bilinear(blocks(truth, 8), truth.shape), atol=1e-4)


@given(st.floats(-1, 1, width=32), st.integers(1, 9), st.integers(1, 9), st.integers(1, 40), st.integers(1, 300))
def test_a_constant_stays_at_any_size(value: float, height: int, width: int, rows: int, columns: int) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (rows, columns, 4), np.uint8)
    out = enlarge(np.full((height, width), value, np.float32), photo)
    assert (out.dtype, out.shape) == (np.float32, (rows, columns))
    np.testing.assert_allclose(out, value, atol=1e-6)


@given(hnp.arrays(np.float32, SIDES, elements=st.floats(-1, 1, width=32)), st.integers(0, 2**32))
def test_enlarged_values_stay_in_range(disparity: NDArray, seed: int) -> None:
    photo = np.random.default_rng(seed).random((33, 47, 3), np.float32)
    out = enlarge(disparity, photo)
    assert disparity.min() - 1e-6 <= out.min() <= out.max() <= disparity.max() + 1e-6


def test_a_map_of_the_photos_size_stays() -> None:
    photo, truth = scene(48, 64, 0.1)
    np.testing.assert_array_equal(enlarge(truth, photo), truth)
    assert enlarge(truth, photo[::2, ::2]).shape == (24, 32)  # a larger one is made smaller


def test_bands_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    photo, truth = scene(240, 320, 0.1)
    whole = enlarge(blocks(truth, 8), photo)
    monkeypatch.setattr("refocal.depth.upsampling.BAND", 17)
    np.testing.assert_allclose(enlarge(blocks(truth, 8), photo), whole, atol=1e-5)


def test_enlarging_to_24_megapixels_takes_little_beside_the_result() -> None:
    code = """
import resource, numpy as np
from refocal.depth.upsampling import enlarge
photo = np.full((4000, 6000, 3), 128, np.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
enlarge(np.zeros((346, 518), np.float32), photo)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 250_000  # kB; the result has 96 000


@pytest.mark.parametrize(
    ("disparity", "message"),
    [
        (np.zeros((2, 2, 1)), r"disparity must be an \(H, W\) array"),
        (np.zeros((0, 2)), "disparity must be"),
        ("near", "disparity must be"),
        (np.full((2, 2), 2.0), r"disparity must lie in \[-1, 1\]: to_focus maps it there"),
        (np.full((2, 2), np.nan), r"disparity must lie in \[-1, 1\]"),
    ],
)
def test_only_focus_units_are_enlarged(disparity: NDArray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        enlarge(disparity, np.zeros((4, 4, 3), np.uint8))


def test_a_depth_is_a_photo_a_map_and_a_source() -> None:
    depth = Depth(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.float32), "depth.png")
    with pytest.raises(AttributeError):
        depth.source = "elsewhere"  # type: ignore[misc]
