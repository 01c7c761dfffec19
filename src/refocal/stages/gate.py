"""`python -m refocal.stages.gate --base main`: exit 1 where the metrics got worse than on a revision, or are stale.

Reads the section `gate` of params.yaml. Exit 0: nothing worse than allowed; 1: worse, or dvc.lock does not belong to
what lies here; 2: bad use, such as an unknown revision.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from refocal.evaluation.gate import compare
from refocal.params import read_params

METRICS, LOCK = "metrics.json", "dvc.lock"
Metrics = Mapping[str, float | None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, print a line for each metric outside its tolerance, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m refocal.stages.gate", description="Fail where metrics got worse.")
    parser.add_argument("--base", default="main", help="the git revision to compare with (default: main)")
    base = parser.parse_args(arguments).base
    try:
        tolerances = read_params().gate.tolerances
        if not (_lock_is_current() and _committed_lock_is_current()):
            print("gate: dvc.lock is stale: run `dvc repro`, and commit dvc.lock and metrics.json with the change")
            return 1
        old, new = _metrics_of(base)
    except ValueError as error:
        print(f"gate: {error}", file=sys.stderr)
        return 2
    if not any(value is not None for value in old.values()):
        print(f"gate: {base} has no metrics yet; nothing to be worse than")
    found = compare(old, new, tolerances)
    print("\n".join(f"gate: {regression}" for regression in found) or f"gate: nothing got worse than on {base}")
    return 1 if found else 0


def _lock_is_current() -> bool:
    """Tell whether every stage's inputs and outputs are those that dvc.lock names."""
    done = _dvc("status", "--quiet")
    if done.returncode not in {0, 1}:  # 1: something changed; beyond it DVC itself failed
        raise ValueError(f"dvc status failed: {_last_line(done.stderr)}")
    return done.returncode == 0 and Path(LOCK).is_file()


def _committed_lock_is_current() -> bool:
    """Tell whether the lock of the last commit names the inputs that this one was made from.

    Where the pipeline has just run, as in CI, the lock that lies here is current whatever was committed. Outputs may
    differ from machine to machine, so only what no stage makes is compared. While files are changed and not committed
    there is nothing to say yet.
    """
    changed = _git("status", "--porcelain", "--untracked-files=no").stdout.splitlines()
    if {line[3:] for line in changed} - {LOCK, METRICS}:
        return True
    committed = _git("show", f"HEAD:./{LOCK}")
    return committed.returncode == 0 and _inputs(committed.stdout) == _inputs(Path(LOCK).read_text("utf-8"))


def _inputs(lock: str) -> dict[str, Any]:
    """Return command, parameters and the dependencies that no stage makes, by stage."""
    stages = yaml.safe_load(lock)["stages"]
    made = {out["path"] for stage in stages.values() for out in stage.get("outs", [])}
    return {
        name: (
            stage["cmd"],
            stage.get("params"),
            {dep["path"]: dep["md5"] for dep in stage.get("deps", []) if dep["path"] not in made},
        )
        for name, stage in stages.items()
    }


def _metrics_of(base: str) -> tuple[Metrics, Metrics]:
    """Return the metrics of a revision and those that lie here, by dotted path."""
    done = _dvc("metrics", "diff", "--all", "--json", base)
    if done.returncode != 0:
        raise ValueError(f"--base {base}: {_last_line(done.stderr)}")
    changes = json.loads(done.stdout).get(METRICS, {})
    old = {name: change.get("old") for name, change in changes.items()}
    return old, {name: change.get("new") for name, change in changes.items()}


def _dvc(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", "dvc", *arguments], capture_output=True, text=True, check=False)  # noqa: S603  DVC is ours, the revision one argument


def _git(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)  # noqa: S603, S607  git is git


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no message"])[-1]


if __name__ == "__main__":
    sys.exit(main())
