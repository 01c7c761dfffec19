"""The state of a training run, and how it is saved so that the run resumes exactly."""

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from refocal.learning.data.crops import digest
from refocal.scenes.scene import Scene

NAME = "last.pt"


@dataclass(frozen=True)
class Best:
    """The best generator so far, of those that were validated.

    Attributes
    ----------
    step, name, score
        When it was, and its score of that name; larger is better.
    state : dict of str to Tensor
        Its weights, copied to the CPU.
    """

    step: int
    name: str
    score: float
    state: dict[str, Tensor]


@dataclass
class Run:
    """Everything that changes while training: this, and the state of the random numbers, is what a checkpoint holds.

    Attributes
    ----------
    generator, discriminator : nn.Module
        The two networks.
    average : nn.Module
        Moving average of the generator: what is validated and exported.
    optimizer_g, optimizer_d : torch.optim.Adam
        One for each network.
    step : int
        Steps done.
    sums : dict of str to float
        Sum of each loss over the steps of the running epoch.
    summed : int
        How many steps those are.
    curves : list of (name, value, step)
        What was logged; a resumed run logs it again, since DVC clears a stage's outputs before it runs.
    best : Best, optional
        The average that scored best on the validation scenes.
    """

    generator: nn.Module
    discriminator: nn.Module
    average: nn.Module
    optimizer_g: torch.optim.Adam
    optimizer_d: torch.optim.Adam
    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    summed: int = 0
    curves: list[tuple[str, float, int]] = field(default_factory=list)
    best: Best | None = None

    def keep_if_best(self, name: str, score: float) -> None:
        """Keep the average if its score is above all before it; of equal ones the earlier stays."""
        if math.isfinite(score) and (self.best is None or score > self.best.score):
            state = self.average.state_dict()
            copied = {key: value.detach().to("cpu", copy=True).contiguous() for key, value in state.items()}
            self.best = Best(self.step, name, score, copied)

    def parts(self) -> dict[str, nn.Module | torch.optim.Adam]:
        """Return what has a state dict, by name."""
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "average": self.average,
            "optimizer_g": self.optimizer_g,
            "optimizer_d": self.optimizer_d,
        }


def fingerprint(config: Mapping[str, Any], scenes: Sequence[Scene]) -> str:
    """Return a digest of all that decides what a run computes: its parameters and the scenes that it sees."""
    return hashlib.sha256(json.dumps([dict(config), digest(scenes)], sort_keys=True).encode()).hexdigest()


def save_checkpoint(folder: Path, run: Run, mark: str) -> None:
    """Write a run to `folder`, whole or not at all, with the fingerprint `mark`."""
    random = {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()}
    content: dict[str, Any] = {name: part.state_dict() for name, part in run.parts().items()}
    content |= {"step": run.step, "sums": run.sums, "summed": run.summed, "curves": run.curves}
    content |= {"best": None if run.best is None else asdict(run.best)}
    folder.mkdir(parents=True, exist_ok=True)
    save_beside(folder / NAME, content | {"random": random, "mark": mark})


def load_checkpoint(folder: Path, run: Run, mark: str, say: Callable[[str], None]) -> bool:
    """Bring `run` to where the checkpoint in `folder` was, if there is one of the same parameters and data.

    Returns
    -------
    bool
        Whether the run goes on. A checkpoint of other parameters or data is left aside with a line to `say`: a stage
        that is run again with new parameters starts anew.

    Raises
    ------
    ValueError
        One line, when the file cannot be read.
    """
    path = folder / NAME
    if not path.exists():
        return False
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001  # a damaged zip or pickle raises whatever it stumbles over
        raise ValueError(f"checkpoint {path} is damaged ({type(error).__name__}): remove it to start anew") from None
    if content["mark"] != mark:
        say(f"checkpoint {path} is of other parameters or data: training starts anew")
        return False
    for name, part in run.parts().items():
        part.load_state_dict(content[name])
    run.step, run.sums, run.summed = content["step"], content["sums"], content["summed"]
    run.curves = [(name, value, step) for name, value, step in content["curves"]]
    run.best = None if content["best"] is None else Best(**content["best"])
    torch.set_rng_state(content["random"]["cpu"])
    if torch.cuda.is_available() and len(content["random"]["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(content["random"]["cuda"])
    return True


def start_from(generator: nn.Module, path: str, own: Mapping[str, Any]) -> None:
    """Load the weights of a generator file into a generator of the configuration `own`.

    Raises
    ------
    ValueError
        One line: no such file, damaged, or weights of another network or size, and in what it differs.
    """
    if not Path(path).is_file():
        raise ValueError(
            f"init = {path} is missing: `dvc pull models/pretrained` fetches released weights, null starts from none"
        )
    differs: dict[str, Any] = {}
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        theirs = content["config"]
        differs = {name: theirs[name] for name in own if name in theirs and theirs[name] != own[name]}
        generator.load_state_dict(content["state"])
    except Exception as error:  # what torch raises for a damaged or foreign file has no class of its own
        found = f"its {', '.join(f'{name} = {value}' for name, value in differs.items())}; " if differs else ""
        line = " ".join(f"{found}{type(error).__name__}: {error}".split())[:250]
        raise ValueError(f"init = {path} is no generator of this network and size ({line})") from error


def save_beside(path: Path, content: Mapping[str, Any]) -> None:
    """Write with torch.save beside `path`, then rename: a killed run leaves the old file or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    try:
        torch.save(dict(content), beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
