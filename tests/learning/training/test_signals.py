"""A run that is told to stop saves and exits, and the next one goes on from there."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_scenes import write_tiny_scenes
from tiny_training import SPLITS, TINY, assert_equal, run_training, saved_run

from refocal.scenes.scene import Scene


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_exits(scenes: list[Scene], tmp_path: Path, number: signal.Signals) -> None:
    with pytest.raises(SystemExit) as left:
        run_training(scenes, TINY, tmp_path, progress=lambda step, *_: step == 2 and os.kill(os.getpid(), number))
    assert left.value.code == 128 + number
    assert saved_run(tmp_path)["step"] == 3
    whole, _ = run_training(scenes, TINY, tmp_path / "whole")
    assert_equal(run_training(scenes, TINY, tmp_path)[0], whole)


def test_sigterm_ends_the_process_with_143_and_training_goes_on(tmp_path: Path) -> None:
    scenes = write_tiny_scenes(tmp_path / "scenes", SPLITS)
    script = (
        "import sys\n"
        f"sys.path[:0] = {[str(Path(__file__).parents[2] / 'helpers')]!r}\n"
        "from pathlib import Path\n"
        "from dataclasses import replace\n"
        "from refocal.scenes.scene import read_scenes\n"
        "from tiny_training import TINY, run_training\n"
        f"config = replace(TINY, epochs=10**5, checkpoint_every=10**6)\n"
        f"run_training(read_scenes({str(tmp_path / 'scenes')!r}), config, Path({str(tmp_path)!r}),\n"
        "             progress=lambda step, steps, speed: print(step, flush=True))\n"
    )
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        steps = [process.stdout.readline().strip()]
        process.send_signal(signal.SIGTERM)
        steps += process.stdout.read().split()
    assert process.returncode == 143
    assert saved_run(tmp_path)["step"] == int(steps[-1])
    assert not (tmp_path / "generator.pt").exists()
    assert not list(tmp_path.rglob(".*.part"))
    said: list[str] = []
    config = replace(TINY, epochs=10**5, checkpoint_every=10**6)

    def enough(*_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_training(scenes, config, tmp_path, say=said.append, progress=enough)
    assert "goes on after step" in said[0]


def test_signals_are_as_before_when_training_is_over(scenes: list[Scene], tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    run_training(scenes, replace(TINY, epochs=0, epochs_decay=1), tmp_path)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
