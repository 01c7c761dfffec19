"""Shift-and-add equals a slow, obvious reference; whatever the memory that the views lie in."""

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from refocal.shiftadd import shift_and_add as shell
from refocal.shiftadd import span_kernel
from refocal.shiftadd.shift_and_add import focal_stack, pupil_mask, shift_and_add


def to_linear(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def to_srgb(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.maximum(x, 1e-9) ** (1 / 2.4) - 0.055)


def reference(
    views: NDArray[Any], slope: float, mask: NDArray[np.bool_], linear: bool, least: float = 0
) -> NDArray[np.float64]:
    """Pixel by pixel, tap by tap, in float64; NaN where no view has a tap."""
    rows, columns, height, width, _ = views.shape
    light = views / 255 if views.dtype == np.uint8 else views.astype(np.float64)
    light = to_linear(light) if linear else light
    sums, weights = np.zeros((height, width, 3)), np.zeros((height, width, 1))
    for u, v in np.argwhere(mask):
        for y in range(height):
            for x in range(width):
                there_y, there_x = y + (u - (rows - 1) / 2) * slope, x + (v - (columns - 1) / 2) * slope
                for tap_y in (int(np.floor(there_y)), int(np.floor(there_y)) + 1):
                    for tap_x in (int(np.floor(there_x)), int(np.floor(there_x)) + 1):
                        weight = (1 - abs(there_y - tap_y)) * (1 - abs(there_x - tap_x))
                        if 0 <= tap_y < height and 0 <= tap_x < width:
                            sums[y, x] += weight * light[u, v, tap_y, tap_x]
                            weights[y, x] += weight
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(weights > least, sums / weights, np.nan)
    return to_srgb(mean) if linear else mean


@st.composite
def cases(draw: st.DrawFn) -> tuple[NDArray[Any], float, NDArray[np.bool_], str, bool]:
    shape = tuple(draw(st.integers(1, most)) for most in (6, 9, 7, 9))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    views: NDArray[Any] = random.integers(0, 256, (*shape, 3), dtype=np.uint8)
    if draw(st.booleans()):
        views = (views / 255).astype(np.float32)
    slope = draw(st.one_of(st.integers(-3, 3).map(float), st.floats(-4, 4, allow_subnormal=False)))
    pupil = draw(st.sampled_from(["circular", "square"]))
    mask = random.random(shape[:2]) < draw(st.sampled_from([0.3, 0.8, 1.1]))
    middle = tuple(np.argwhere(pupil_mask(shape[:2], pupil))[0])  # type: ignore[arg-type]
    mask[middle] = True
    return views, slope, mask, pupil, draw(st.booleans())


@settings(deadline=None, max_examples=60)
@given(cases())
def test_it_equals_the_slow_reference_for_any_shape_slope_and_mask(case: tuple[Any, ...]) -> None:
    views, slope, mask, pupil, linear = case
    ours = shift_and_add(views, slope, mask=mask, pupil=pupil, linear=linear)
    wanted = reference(views, slope, mask & pupil_mask(views.shape[:2], pupil), linear)
    seen = ~np.isnan(wanted)
    # a fraction of weight 1e-7 is nothing to see in, and nothing to divide by in float32
    assert np.isfinite(ours).all()
    np.testing.assert_allclose(ours[seen], wanted[seen], rtol=0, atol=1e-5)


@settings(deadline=None, max_examples=15)
@given(cases(), st.lists(st.floats(-2, 2, allow_subnormal=False), min_size=1, max_size=5))
def test_a_stack_is_its_slopes_one_by_one(case: tuple[Any, ...], slopes: list[float]) -> None:
    views, _, mask, pupil, linear = case
    stack = focal_stack(views, slopes, mask=mask, pupil=pupil, linear=linear)
    assert stack.shape == (len(slopes), *views.shape[2:])
    for photo, slope in zip(stack, slopes, strict=True):
        alone = shift_and_add(views, slope, mask=mask, pupil=pupil, linear=linear)
        np.testing.assert_allclose(photo, alone, rtol=0, atol=1e-5)


@settings(deadline=None, max_examples=40)
@given(cases(), st.floats(-3, 3, allow_subnormal=False), st.floats(0, 1))
def test_many_slopes_close_together_equal_the_slow_reference(case: tuple[Any, ...], first: float, step: float) -> None:
    """They share taps; in any order, with slopes at which shifts are whole, and twice the same."""
    views, whole, mask, pupil, linear = case
    slopes = [first + step * k / 7 for k in (4, 1, 6, 0, 2, 5, 3)] + [float(np.rint(whole)), 0.0, 0.0, first]
    order, ends, _ = shell._spans(np.array(slopes), views.shape[:2])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shell, "FEWEST", -100)
        stack = focal_stack(views, slopes, mask=mask, pupil=pupil, linear=linear)
    assert (np.diff(np.array(slopes)[order]) >= 0).all()
    assert ends[-1] == len(slopes)
    for photo, slope in zip(stack, slopes, strict=True):
        wanted = reference(views, slope, mask & pupil_mask(views.shape[:2], pupil), linear, least=0.02)  # else float32
        seen = ~np.isnan(wanted)
        assert np.isfinite(photo).all()
        np.testing.assert_allclose(photo[seen], wanted[seen], rtol=0, atol=1e-5)


def test_slopes_are_split_where_a_shift_passes_a_whole_number() -> None:
    """Of 7 x 7 views that is at multiples of 1, 1/2 and 1/3: eight spans from -1 to 1, of any number of slopes."""
    for count in (97, 961):
        order, ends, middles = shell._spans(np.linspace(1, -1, count), (7, 7))
        assert order.tolist() == list(range(count))[::-1]
        last = np.linspace(-1, 1, count)[ends[1:-1] - 1]
        breaks = [-2 / 3, -1 / 2, -1 / 3, 0, 1 / 3, 1 / 2, 2 / 3]
        assert last == pytest.approx(breaks, abs=2.01 / (count - 1))  # a slope next to one may belong to either side
        assert len(middles) == 8


def test_tiles_of_many_slopes_meet_without_a_seam() -> None:
    """Wider and higher than a tile, more spans than are taken at a time: what few slopes give, by another kernel."""
    views = np.random.default_rng(4).integers(0, 256, (4, 5, 150, span_kernel.COLUMNS + 60, 3), dtype=np.uint8)
    slopes = np.linspace(-3, 3, 150)
    assert len(shell._spans(slopes, (4, 5))[2]) > span_kernel.SPANS
    for linear in (True, False):
        stack = focal_stack(views, slopes, linear=linear)
        for k in (0, 70, 149):
            np.testing.assert_allclose(stack[k], shift_and_add(views, slopes[k], linear=linear), rtol=0, atol=1e-5)


def test_it_equals_the_reference_where_blocks_of_rows_meet() -> None:
    views = np.random.default_rng(0).integers(0, 256, (3, 5, 70, 11, 3), dtype=np.uint8)
    mask = np.ones((3, 5), bool)
    for linear in (True, False):
        ours = focal_stack(views, [-1.6, 0.3, 2], pupil="square", linear=linear)
        for photo, slope in zip(ours, (-1.6, 0.3, 2), strict=True):
            np.testing.assert_allclose(photo, reference(views, slope, mask, linear), rtol=0, atol=1e-5)


def test_content_of_a_disparity_is_sharp_at_that_slope_and_at_no_other() -> None:
    """A dot that moves 1.5 px down and right a view step is white at slope +1.5 and grey at -1.5."""
    views = np.zeros((5, 5, 33, 33, 3), np.float32)
    for u in range(5):
        for v in range(5):
            y, x = 16 + 1.5 * (u - 2), 16 + 1.5 * (v - 2)
            for yy in (int(np.floor(y)), int(np.ceil(y))):
                for xx in (int(np.floor(x)), int(np.ceil(x))):
                    views[u, v, yy, xx] = 1
    assert shift_and_add(views, 1.5, linear=False)[16, 16].min() > 0.99
    assert shift_and_add(views, -1.5, linear=False)[16, 16].max() < 0.3


def test_borders_keep_their_brightness() -> None:
    views = np.full((7, 7, 20, 30, 3), 200, np.uint8)
    np.testing.assert_allclose(focal_stack(views, [-2.3, 0, 1.7]), 200 / 255, atol=1e-5)


def test_light_is_averaged_not_its_code() -> None:
    """Half black, half white is the grey of half the light, 188 of 255, not 128."""
    views = np.zeros((1, 2, 4, 4, 3), np.uint8)
    views[0, 1] = 255
    assert shift_and_add(views, 0)[0, 0, 0] * 255 == pytest.approx(187.5, abs=0.5)
    assert shift_and_add(views, 0, linear=False)[0, 0, 0] * 255 == pytest.approx(127.5, abs=0.01)


def test_a_masked_view_is_never_averaged_in() -> None:
    views = np.full((3, 3, 8, 8, 3), 0.5, np.float32)
    views[0, 1] = np.nan
    mask = np.ones((3, 3), bool)
    mask[0, 1] = False
    np.testing.assert_allclose(shift_and_add(views, 0.7, mask=mask), 0.5, atol=1e-5)


def test_pixels_that_no_view_sees_get_the_nearest_that_is_seen() -> None:
    views = np.broadcast_to(np.array([[[0.2]], [[0.8]]], np.float32)[:, :, None, None], (2, 1, 6, 6, 3))
    photo = shift_and_add(np.ascontiguousarray(views), 40.0)
    assert set(np.unique(photo.round(4))) <= {np.float32(0.2), np.float32(0.8)}


@pytest.mark.parametrize("slope", [0.4, -1.3])
def test_mirrored_cut_interleaved_and_read_only_views_give_what_their_copies_give(slope: float, tmp_path: Path) -> None:
    mosaic = np.random.default_rng(1).integers(0, 256, (20 * 5, 24 * 5, 3), dtype=np.uint8)
    interleaved = mosaic.reshape(20, 5, 24, 5, 3).transpose(1, 3, 0, 2, 4)
    plain = np.ascontiguousarray(interleaved)
    np.save(tmp_path / "views.npy", plain)
    mapped = np.load(tmp_path / "views.npy", mmap_mode="r")
    turned = plain[..., ::-1, :, ::-1], plain[:, :, :, ::-1]
    kinds = (interleaved, interleaved[::-1, ::-1], plain[::-1, ::-1], plain[1:4, ::2], plain[:, :, 3:, 2:-1], *turned)
    for views in (*kinds, mapped, mapped[:, ::-1], (plain / 255).astype(np.float32).transpose(1, 0, 3, 2, 4)):
        for linear in (True, False):
            wanted = shift_and_add(np.ascontiguousarray(views), slope, linear=linear)
            np.testing.assert_allclose(shift_and_add(views, slope, linear=linear), wanted, rtol=0, atol=1e-6)


def test_no_second_light_field_is_held() -> None:
    views = np.random.default_rng(2).integers(0, 256, (7, 7, 128, 160, 3), dtype=np.uint8)
    mosaic = np.ascontiguousarray(views.transpose(2, 0, 3, 1, 4)).transpose(1, 3, 0, 2, 4)
    cases = [(layout, linear) for layout in (views, views[::-1, ::-1], mosaic[::-1]) for linear in (True, False)]
    for layout, linear in (*cases, (views.astype(np.float32) / 255, True)):
        focal_stack(layout, [0.1, 0.2], linear=linear)  # compiled
        tracemalloc.start()
        stack = focal_stack(layout, [0.1, 0.2], linear=linear)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2 * stack.nbytes < layout.size


def test_pupils_are_disk_and_square() -> None:
    assert pupil_mask((7, 7), "square").all()
    assert pupil_mask((7, 7)).sum() == 37
    assert pupil_mask((1, 9)).all()
    disk = pupil_mask((9, 9))
    assert not disk[0, 0]
    assert disk[0, 4]
    assert (disk == disk.T).all()
    assert (disk == disk[::-1]).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"views": np.zeros((2, 2, 4, 4), np.uint8)}, r"views must be an array \(U, V, H, W, 3\), got \(2, 2, 4, 4\)"),
        ({"views": np.zeros((2, 2, 4, 4, 3))}, "uint8, or float32 in .0, 1., got float64"),
        ({"views": np.full((2, 2, 4, 4, 3), np.nan, np.float32)}, r"lie in \[0, 1\], view \(0, 0\) has nan"),
        ({"views": np.full((2, 2, 4, 4, 3), 2, np.float32)}, r"lie in \[0, 1\]"),
        ({"slope": float("nan")}, "slopes must be one or more finite numbers"),
        ({"mask": np.ones((3, 2), bool)}, r"mask must be bool of shape \(2, 2\)"),
        ({"mask": np.zeros((2, 2), bool)}, "mask leaves no view"),
        ({"pupil": "round"}, "pupil must be 'circular' or 'square', got 'round'"),
    ],
)
def test_bad_input_is_named_in_one_line(change: dict[str, Any], words: str) -> None:
    call = {"views": np.zeros((2, 2, 4, 4, 3), np.uint8), "slope": 0.5} | change
    with pytest.raises(ValueError, match=words) as raised:
        shift_and_add(call.pop("views"), call.pop("slope"), **call)
    assert "\n" not in str(raised.value)
