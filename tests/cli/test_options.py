"""Spans hold both ends, and folders appear whole."""

from pathlib import Path

import pytest

from refocal.cli.options import output_folder, span


def test_spans_hold_both_ends() -> None:
    assert span("-1:1:5", "--focus") == [-1, -0.5, 0, 0.5, 1]
    assert span("-0.25", "--focus") == [-0.25]
    assert span("1,-1", "--focus") == [1, -1]
    assert span("2:3:1", "--focus") == [2]
    for text in ("", "a:b:c", "1:2", "1:2:3:4", "nan", "0:inf:3", "0:1:1001", "1;2"):
        with pytest.raises(ValueError, match="--focus must be FIRST:LAST:COUNT"):
            span(text, "--focus")


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def fail() -> None:
        with output_folder(tmp_path / "new", force=False) as folder:
            (folder / "half").write_text("half")
            raise ValueError("stopped")

    with pytest.raises(ValueError, match="stopped"):
        fail()
    assert list(tmp_path.iterdir()) == []
