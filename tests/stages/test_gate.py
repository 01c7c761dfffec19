"""`python -m refocal.stages.gate` in a real git and DVC repository: it passes, and it fails, when it should."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from refocal.stages.gate import main

NAME = "test.refocal.psnr.mean"
DVC_YAML = """
stages:
  evaluate:
    cmd: python -c "import shutil; shutil.copy('scores.json', 'metrics.json')"
    deps: [scores.json]
    metrics:
      - metrics.json:
          cache: false
"""


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def dvc(*arguments: str) -> None:
    run(sys.executable, "-m", "dvc", *arguments)


def put_scores(psnr: float) -> None:
    psnr_part = {"psnr": {"mean": psnr, "low": None, "high": None}}
    Path("scores.json").write_text(json.dumps({"test": {"n": 1, "refocal": psnr_part}}))


def commit() -> None:
    run("git", "add", "--all")
    run("git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "--quiet", "-m", "c")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Enter a repository whose branch main has no metrics yet, and where the pipeline has run once."""
    monkeypatch.chdir(tmp_path)
    run("git", "init", "--quiet", "--initial-branch", "main")
    dvc("init", "--quiet")
    Path("dvc.yaml").write_text(DVC_YAML.replace("python", sys.executable))
    Path("params.yaml").write_text(f"gate: {{tolerances: {{{NAME}: 0.5}}}}")
    put_scores(30.0)
    commit()
    dvc("repro", "--quiet")


def test_the_gate_holds_back_what_got_worse_and_nothing_else(
    repository: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """One walk through a project's life: each step costs a DVC call or two."""

    def gate(*arguments: str) -> tuple[int, str]:
        code = main(arguments)
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    code, said = gate()
    assert (code, "dvc.lock is stale" in said) == (1, True)  # the pipeline has run, its lock is not committed
    run("git", "checkout", "--quiet", "-b", "work")
    commit()
    code, said = gate()
    assert (code, "main has no metrics yet" in said) == (0, True)  # first landing
    run("git", "branch", "--force", "main")

    put_scores(30.1)
    commit()  # without the lock
    dvc("repro", "--quiet")  # as CI does: what lies here is current, what was committed is not
    code, said = gate()
    assert (code, "dvc.lock is stale" in said) == (1, True)
    put_scores(30.0)
    dvc("repro", "--quiet")
    commit()

    put_scores(29.6)
    code, said = gate()
    assert (code, "dvc.lock is stale" in said) == (1, True)  # the pipeline has not run on this
    dvc("repro", "--quiet")
    code, said = gate("--base", "main")
    assert (code, "nothing got worse than on main" in said) == (0, True)  # within the tolerance

    put_scores(29.4)
    dvc("repro", "--quiet")
    code, said = gate()
    assert code == 1
    assert f"{NAME}: 30.0 -> 29.4, worse than the 0.5 that is allowed" in said
    assert said.count("\n") == 1

    code, said = gate("--base", "no-such-revision")
    assert (code, said.count("\n")) == (2, 1)
    assert "no-such-revision" in said


def test_where_there_is_no_repository_the_gate_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([]) == 2  # no params.yaml
    Path("params.yaml").write_text("gate: {tolerances: {}}")
    assert main([]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2
