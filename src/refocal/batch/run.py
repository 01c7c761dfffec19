"""A batch from its list of photos to its manifest, on either engine."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from refocal.batch.manifest import Manifest
from refocal.batch.photos import Photo
from refocal.batch.worker import BatchSettings, Line, made_with
from refocal.progress import Progress
from refocal.workers import stop_signals


class Engine(Protocol):
    """Yields a line of the manifest for each photo it is given, in any order; stops where it is told to."""

    def __call__(self, photos: Sequence[Photo], *, stopped: Callable[[], bool]) -> Iterator[Line]:
        """Refocus photos."""


@dataclass(frozen=True)
class Summary:
    """How many photos a batch has, how many of them are done and failed, and whether a signal stopped it."""

    total: int
    done: int
    failed: int
    stopped: int


def run_batch(
    photos: Sequence[Photo],
    settings: BatchSettings,
    out: str,
    engine: Engine,
    *,
    share: tuple[int, int] = (1, 1),
    force: bool = False,
    report: Progress,
) -> Summary:
    """Refocus photos, or go on where an earlier batch was; what failed is tried again.

    Parameters
    ----------
    out
        Folder of the outputs and the manifest, path or URL.
    engine
        `refocus_here` or `refocus_on_ray`, with their settings.
    share
        Which share of the photos is to be done, from 1, and how many shares there are.
    force
        Overwrite outputs that are not of this batch, or of other settings.
    report
        Called with how many are done or failed.

    Raises
    ------
    ValueError
        One line: outputs that are not of this batch, another batch at work, a folder that cannot be written.
    """
    number, count = share
    mine = photos[number - 1 :: count]
    manifest = Manifest(out, share)
    digest = made_with(settings)
    if not force:
        manifest.check(mine, digest)
    kept = [photo for photo in mine if manifest.is_done(photo, digest)]
    names = {photo.output for photo in kept}
    left = {photo.output: photo for photo in mine if photo.output not in names}
    done, failed = len(kept), 0

    def told() -> str:
        return f"{failed} failed" if failed else "none failed"

    with stop_signals() as stops, manifest.writing(kept):
        report(done, len(mine), told())
        for line in engine([*left.values()], stopped=lambda: bool(stops)) if left else ():
            photo = left[line["output"]]
            manifest.add({**line, "version": photo.version, "made_with": digest})
            failed += line["outcome"] == "failed"
            done += line["outcome"] == "done"
            report(done + failed, len(mine), told())
    return Summary(len(mine), done, failed, stops[-1] if stops else 0)
