"""Crops averaged on the training's device are what shift-and-add has there; the Triton kernel makes the same."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tiny_scenes import write_light_fields

from refocal.learning.data import views as on_the_fly
from refocal.learning.data.views import CropRequest, LightFields, bytes_needed
from refocal.shiftadd.shift_and_add import shift_and_add

CPU = torch.device("cpu")


def fields_of(views: NDArray[np.uint8], mask: NDArray[np.bool_], linear: bool) -> LightFields:
    with tempfile.TemporaryDirectory() as folder:  # hypothesis runs a test many times with one tmp_path
        return LightFields(write_light_fields(Path(folder), {"a": "train"}, views=views, mask=mask, linear=linear), CPU)


@st.composite
def cases(draw: st.DrawFn) -> tuple[NDArray[np.uint8], NDArray[np.bool_], bool, CropRequest]:
    grid, size = ([draw(st.integers(1, most)) for _ in range(2)] for most in (5, 12))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    views = random.integers(0, 256, (*grid, *size, 3), dtype=np.uint8)
    mask = random.random(grid) < draw(st.sampled_from([0.3, 0.8, 1.1]))
    mask[random.integers(grid[0]), random.integers(grid[1])] = True
    slope = draw(st.one_of(st.integers(-3, 3).map(float), st.floats(-9, 9, allow_subnormal=False)))
    side = draw(st.integers(1, min(size)))
    top, left = (draw(st.integers(0, length - side)) for length in size)
    return views, mask, draw(st.booleans()), CropRequest(0, slope, top, left, side)


@settings(deadline=None, max_examples=60)
@given(case=cases())
def test_a_cut_is_what_shift_and_add_has_there(
    case: tuple[NDArray[np.uint8], NDArray[np.bool_], bool, CropRequest],
) -> None:
    """At borders, where no view has a tap, with few views, in linear light or not."""
    views, mask, linear, cut = case
    (made,) = fields_of(views, mask, linear).render([cut])
    whole = shift_and_add(views, cut.slope, mask=mask, pupil="square", linear=linear)
    wanted = whole[cut.top : cut.top + cut.side, cut.left : cut.left + cut.side]
    assert made.shape == (3, cut.side, cut.side)
    assert 0 <= made.min() <= made.max() <= 1
    np.testing.assert_allclose(made.permute(1, 2, 0), wanted, atol=1e-5)


@settings(deadline=None, max_examples=30)
@given(case=cases())
def test_what_is_read_is_each_pixel_under_the_cut_once(
    case: tuple[NDArray[np.uint8], NDArray[np.bool_], bool, CropRequest],
) -> None:
    views, mask, linear, cut = case
    touched = 0
    (rows, columns), (height, width) = mask.shape, views.shape[2:4]
    for u, v in np.argwhere(mask):
        down, right = (np.floor((at - (n - 1) / 2) * cut.slope) for at, n in ((u, rows), (v, columns)))
        y, x = cut.top + down + np.arange(cut.side + 1), cut.left + right + np.arange(cut.side + 1)
        touched += np.outer((y >= 0) & (y < height), (x >= 0) & (x < width)).sum()
    assert bytes_needed(fields_of(views, mask, linear).fields[0], cut) == 3 * touched


def test_how_many_views_are_decoded_at_a_time_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = LightFields(write_light_fields(tmp_path, {"a": "train"}), CPU)
    cuts = [CropRequest(0, 0.7, 3, 4, 20)]
    (once,) = fields.render(cuts)
    monkeypatch.setitem(on_the_fly.PIXELS, "cpu", 1)
    np.testing.assert_allclose(fields.render(cuts)[0], once, atol=1e-6)


def test_scenes_of_other_sizes_lie_side_by_side(tmp_path: Path) -> None:
    """And a cut knows nothing of the others in its batch."""
    scenes = write_light_fields(tmp_path, {"a": "train", "b": "train"})
    both = LightFields(scenes, CPU)
    cuts = [CropRequest(1, -1.3, 0, 5, 41), CropRequest(0, 0.4, 7, 0, 30)]
    alone = [LightFields(scenes[cut.field : cut.field + 1], CPU).render([cut._replace(field=0)])[0] for cut in cuts]
    assert all(torch.equal(one, two) for one, two in zip(both.render(cuts), alone, strict=True))


def test_the_kernel_for_gpus_makes_the_same(tmp_path: Path) -> None:
    """Run by Triton's interpreter: several tiles, other sides in one batch, borders, pixels without a tap."""
    pytest.importorskip("triton")
    code = f"""
import pathlib, torch
from refocal.learning.data import view_kernel as on_the_fly_kernel
from refocal.learning.data.views import CropRequest, LightFields
from tiny_scenes import write_light_fields
root = pathlib.Path({str(tmp_path)!r})
scenes = write_light_fields(root / "coded", {{"a": "train"}}, linear=False)
scenes += write_light_fields(root / "linear", {{"b": "train"}})
fields = LightFields(scenes, torch.device("cpu"))
cuts = [CropRequest(0, -0.37, 1, 0, 36), CropRequest(1, 1.0, 20, 30, 17), CropRequest(1, 17.3, 0, 0, 40)]
plain = fields.render(cuts)
fields.fused, on_the_fly_kernel.TILE = True, (16, 16)
for one, two in zip(plain, fields.render(cuts), strict=True):
    assert one.shape == two.shape
    torch.testing.assert_close(one, two, atol=1e-5, rtol=0)
"""
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr


def test_without_a_compiler_the_kernel_is_left_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("triton")
    monkeypatch.setenv("CC", "cc")
    assert on_the_fly._triton_works()
    monkeypatch.delenv("CC")
    monkeypatch.setenv("PATH", "")
    assert not on_the_fly._triton_works()


def test_views_that_were_not_kept_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^scene a has no views\.npy: [^\n]*stack\.keep_views = true[^\n]*$"):
        LightFields(write_light_fields(tmp_path, {"a": "train"}, keep=False), CPU)


def test_more_views_than_a_gpu_has_room_for_are_refused_before_any_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    free: dict[str, Any] = {"bytes": (10 * 2**30, 80 * 2**30)}
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: free["bytes"])
    on_the_fly._check_memory(3, 8 * 2**30, torch.device("cuda"))
    on_the_fly._check_memory(3, 9 * 2**30, CPU)
    with pytest.raises(ValueError, match=r"views of 3 scenes take 9\.0 GiB, the device has 10\.0 GiB free: [^\n]*$"):
        on_the_fly._check_memory(3, 9 * 2**30, torch.device("cuda"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("fused", [False, True])
def test_a_gpu_makes_what_a_cpu_makes(tmp_path: Path, fused: bool) -> None:
    if fused:
        pytest.importorskip("triton")
    scenes = write_light_fields(tmp_path, {"a": "train", "b": "train"})
    cuts = [CropRequest(1, -1.3, 0, 5, 41), CropRequest(0, 0.4, 7, 0, 30), CropRequest(0, 17.3, 0, 0, 40)]
    there = LightFields(scenes, torch.device("cuda"))
    there.fused = fused
    for one, two in zip(LightFields(scenes, CPU).render(cuts), there.render(cuts), strict=True):
        torch.testing.assert_close(one, two.cpu(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("capability", [80, 90])
def test_the_kernel_compiles_for_gpus_that_are_not_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capability: int
) -> None:
    """To machine code, with room for its numbers in registers."""
    triton = pytest.importorskip("triton")
    if triton.knobs.runtime.interpret:
        pytest.skip("Triton interprets here")
    from triton.backends.compiler import GPUTarget

    from refocal.learning.data import view_kernel as kernel

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    types = {"memory": "*i32", "tables": "*fp32", "facts": "*i64", "whole": "*i32", "part": "*fp32", "out": "*fp32"}
    source = triton.compiler.ASTSource(
        fn=kernel._average,
        signature=types | {"most": "i32", "size": "i32"} | dict.fromkeys(("FACTS", "ROWS", "COLUMNS"), "constexpr"),
        constexprs={"FACTS": kernel.FACTS, "ROWS": kernel.TILE[0], "COLUMNS": kernel.TILE[1]},
    )
    made = triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": kernel.WARPS})
    assert made.asm["cubin"]
    assert ".local" not in made.asm["ptx"]
    assert made.metadata.shared <= 48 * 1024
