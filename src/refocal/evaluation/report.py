"""Scores of scenes to metrics.json and its tables: means with bootstrap intervals, paired differences.

`python -m refocal.evaluation.report metrics.json` prints the tables (Markdown).
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from refocal.evaluation.scores import LEVEL_SCORES, SCORES, SceneScores, Scores

Summary = dict[str, float | None]  # mean, low, high
LEVEL = 0.95  # of an interval
DIGITS = {name: 3 if name.endswith("psnr") else 4 for name in SCORES}  # what another machine's rounding leaves alone


def interval(values: Sequence[float], *, resamples: int, seed: int) -> tuple[float, float] | None:
    """95 % bootstrap interval of the mean (Efron 1979, percentiles): scenes are drawn again with replacement.

    The same seed and number of values draw the same scenes, whatever the values. None for fewer than two values.
    """
    if len(values) < 2:
        return None
    drawn = np.random.default_rng(seed).integers(len(values), size=(resamples, len(values)))
    means = np.asarray(values, dtype=np.float64)[drawn].mean(axis=1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def summarise(values: Sequence[float | None], *, digits: int, resamples: int, seed: int) -> Summary:
    """Return mean, low and high of one score over scenes; those without it (None) don't count, no interval is None."""
    known = [value for value in values if value is not None]
    if not known:
        return {"mean": None, "low": None, "high": None}
    bounds = interval(known, resamples=resamples, seed=seed) or (None, None)
    mean, low, high = (
        None if value is None else round(value, digits) + 0.0 for value in (float(np.mean(known)), *bounds)
    )
    return {"mean": mean, "low": low, "high": high}


def report(scenes: Sequence[SceneScores], *, ours: str, resamples: int, seed: int) -> dict[str, Any]:
    """Return one split's part of metrics.json.

    Parameters
    ----------
    scenes
        Scores of the split's scenes.
    ours
        The method that is judged: it is compared, scene by scene, with each other one.
    resamples, seed
        Of the bootstrap.

    Returns
    -------
    dict
        `n` scenes; per method and score a mean with `low` and `high`, over the levels trained on, and under `unseen`
        over those in between; `paired`: the same of the differences between ours and each other method, and between
        ours at unseen and at seen levels; `gap_closed`: the share of the gap between Gaussian and oracle that ours
        closes, None where the interval of oracle - Gaussian reaches 0.
    """
    seen = {method: [scene.seen(method) for scene in scenes] for method in scenes[0].levels}
    unseen = {method: [scene.unseen(method) for scene in scenes] for method in seen}

    def summaries(rows: Sequence[Scores]) -> dict[str, Summary]:
        return _summaries(rows, resamples, seed)

    part = {"n": len(scenes)} | compared(seen, ours, resamples=resamples, seed=seed)
    for method, rows in unseen.items():
        part[method]["unseen"] = summaries(rows)
    part["paired"]["unseen-seen"] = summaries(_differences(unseen[ours], seen[ours]))
    known = {"gaussian", "oracle"} <= seen.keys()
    ahead = summaries(_differences(seen["oracle"], seen["gaussian"])) if known else {}
    part["gap_closed"] = {
        score: _gap_closed(part, ours, score, ahead.get(score)) for score in ("psnr", "ssim", "defocus_r")
    }
    return part


def compared(rows: Mapping[str, Sequence[Scores]], ours: str, *, resamples: int, seed: int) -> dict[str, Any]:
    """Return by method the summaries of its scores, a scene each; under `paired` those of ours less every other's."""
    found: dict[str, Any] = {method: _summaries(scores, resamples, seed) for method, scores in rows.items()}
    found["paired"] = {
        f"{ours}-{method}": _summaries(_differences(rows[ours], scores), resamples, seed)
        for method, scores in rows.items()
        if method != ours
    }
    return found


def _summaries(rows: Sequence[Scores], resamples: int, seed: int) -> dict[str, Summary]:
    return {
        score: summarise([row[score] for row in rows], digits=DIGITS[score], resamples=resamples, seed=seed)
        for score in rows[0]
    }


def _differences(ours: Sequence[Scores], others: Sequence[Scores]) -> list[Scores]:
    """Return, scene by scene, the differences of the scores that both have; None where either was not computed."""
    return [
        {score: None if (x := a[score]) is None or (y := b[score]) is None else x - y for score in a if score in b}
        for a, b in zip(ours, others, strict=True)
    ]


def _gap_closed(part: Mapping[str, Any], ours: str, score: str, ahead: Summary | None) -> float | None:
    """Share of the gap between Gaussian and oracle that is closed; None where the oracle is not surely `ahead`."""
    least = None if ahead is None else ahead["mean"] if ahead["low"] is None else ahead["low"]
    if least is None or least <= 0:
        return None
    start, here, end = (part[method][score]["mean"] for method in ("gaussian", ours, "oracle"))
    return round(float(here - start) / float(end - start), 3)


def rank(scenes: Sequence[SceneScores], method: str, score: str) -> dict[str, SceneScores]:
    """Return the scenes with a method's best, median (the lower of two) and worst score; one may be several of them."""
    known = [scene for scene in scenes if scene.seen(method)[score] is not None]
    order = sorted(known, key=lambda scene: (scene.seen(method)[score] or 0.0, scene.scene))
    return {"best": order[-1], "median": order[(len(order) - 1) // 2], "worst": order[0]} if order else {}


def by_focus(scenes: Sequence[SceneScores]) -> dict[str, str]:
    """Return for psnr, ssim and defocus_r a table (CSV): focus and, per method, the mean over scenes at that level."""
    methods = list(scenes[0].levels)
    focuses = sorted({focus for scene in scenes for focus in scene.focus})
    found: dict[str, str] = {}
    for score in ("psnr", "ssim", "defocus_r"):
        lines = [",".join(["focus", *methods])]
        for focus in focuses:
            rows = [(scene, scene.focus.index(focus)) for scene in scenes if focus in scene.focus]
            means = [np.mean([scene.levels[method][k][score] for scene, k in rows]) for method in methods]
            lines.append(",".join([f"{focus:g}", *(f"{mean:.{DIGITS[score]}f}" for mean in means)]))
        found[score] = "\n".join(lines) + "\n"
    return found


def by_scene(scenes: Sequence[SceneScores]) -> str:
    """Return every scene's scores as one table (CSV): at the levels trained on and, `unseen_…`, at those between."""
    lines = [",".join(["scene", "method", *SCORES, *(f"unseen_{score}" for score in LEVEL_SCORES)])]
    for scene in scenes:
        for method in scene.levels:
            seen, unseen = scene.seen(method), scene.unseen(method)
            cells = [(score, seen[score]) for score in SCORES] + [(score, unseen[score]) for score in LEVEL_SCORES]
            values = ("" if value is None else f"{value:.{DIGITS[score]}f}" for score, value in cells)
            lines.append(",".join([scene.scene, method, *values]))
    return "\n".join(lines) + "\n"


def scene_scores(scenes: Sequence[SceneScores]) -> dict[str, dict[str, Scores]]:
    """Return every scene's scores at the levels trained on, by scene and method."""
    return {scene.scene: {method: scene.seen(method) for method in scene.levels} for scene in scenes}


def tables(metrics: Mapping[str, Any]) -> str:
    """Return the content of metrics.json as Markdown: per split the scores, then the paired differences."""
    return "\n".join(_split_tables(split, part) for split, part in metrics.items())


def _split_tables(split: str, part: Mapping[str, Any]) -> str:
    methods = {name: scores for name, scores in part.items() if name not in ("n", "paired", "gap_closed", "from_slice")}
    seen = [[score, *(_cell(m[score]) for m in methods.values())] for score in SCORES]
    between = [[f"unseen {score}", *(_cell(m["unseen"][score]) for m in methods.values())] for score in LEVEL_SCORES]
    lpips = ["lpips", *("not computed" for _ in methods)]
    pairs = part["paired"]
    differences = [
        [score, *(_cell(pair[score], verdict=True) if score in pair else "" for pair in pairs.values())]
        for score in SCORES
    ]
    closed = part["gap_closed"].items()
    line = ", ".join(f"{score} {'-' if value is None else f'{value:.0%}'}" for score, value in closed)
    return "\n".join(
        [
            f"### {split}: mean over {part['n']} scenes (95 % bootstrap interval over scenes)\n",
            _table([split, *methods], [*seen, lpips, *between]),
            "\nPaired differences, scene by scene; * where the interval excludes 0\n",
            _table([split, *(name.replace("-", " - ") for name in pairs)], differences),
            f"\nShare of the gap between Gaussian and oracle that is closed: {line}\n",
            *_slice_tables(split, part.get("from_slice", {})),
        ]
    )


def _slice_tables(split: str, part: Mapping[str, Any]) -> list[str]:
    """Return what was made of one slice alone: by task the scores, then the paired differences."""
    if not part:
        return []
    lines = [f"#### {split}, from the nearest or the farthest slice alone: mean over {part['n']} scenes\n"]
    for task, found in part.items():
        if task == "n":
            continue
        methods = {name: scores for name, scores in found.items() if name != "paired"}
        scores = list(next(iter(methods.values())))
        rows = [[score, *(_cell(m[score]) for m in methods.values())] for score in scores]
        paired = [[score, *(_cell(p[score], verdict=True) for p in found["paired"].values())] for score in scores]
        title = task.replace("_", " ")
        lines += [_table([title, *methods], rows), ""]
        lines += [_table([title, *(name.replace("-", " - ") for name in found["paired"])], paired), ""]
    return lines


def _cell(summary: Summary, *, verdict: bool = False) -> str:
    mean, low, high = summary["mean"], summary["low"], summary["high"]
    if mean is None:
        return "not computed"
    digits = 2 if abs(mean) >= 10 or verdict else 3
    text = f"{mean:+.3f}" if verdict else f"{mean:.{digits}f}"
    if low is None or high is None:
        return text
    bounds = f"{low:+.3f} to {high:+.3f}" if verdict else f"{low:.{digits}f} to {high:.{digits}f}"
    return f"{text} ({bounds})" + (" *" if verdict and (low > 0 or high < 0) else "")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table whose columns also line up in a terminal."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def main(arguments: Sequence[str]) -> int:
    """Print the tables of a metrics file; 2 and one line where it isn't one."""
    if len(arguments) != 1:
        print("usage: python -m refocal.evaluation.report METRICS.json", file=sys.stderr)
        return 2
    try:
        print(tables(json.loads(Path(arguments[0]).read_text(encoding="utf-8"))), flush=True)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except FileNotFoundError:
        print(f"no metrics at {arguments[0]}; `dvc repro` makes them", file=sys.stderr)
        return 2
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        print(
            f"{arguments[0]} is not what the stage evaluate writes ({type(error).__name__}: {error})", file=sys.stderr
        )
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
