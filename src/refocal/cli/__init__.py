"""The command line `refocal …`. Commands import what they need when they run, so that `--help` is quick."""

import io
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

import refocal
from refocal.cli.batch import batch
from refocal.cli.bracket import bracket
from refocal.cli.evaluate import evaluate
from refocal.cli.label import label
from refocal.cli.lightfield import lightfield, views
from refocal.cli.living import living
from refocal.cli.photo import photo, sweep
from refocal.cli.stack import info, sample, stack

EXAMPLES = "For example:"


class Command(TyperCommand):
    """A command that shows its options by their `rich_help_panel`, and its examples as they are written.

    Without rich, whose import takes longest.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if self.help:  # \b keeps a paragraph from being wrapped
            self.help = self.help.replace(EXAMPLES, f"\b\n{EXAMPLES}")

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, the options, then each panel's."""
        panels: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            usual = "Arguments" if parameter.param_type_name == "argument" else "Options"
            record = parameter.get_help_record(ctx)
            if record is not None:
                panels.setdefault(getattr(parameter, "rich_help_panel", None) or usual, []).append(record)
        for title, records in panels.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


app = typer.Typer(
    name="refocal",
    help="Take one photo, choose where its focus lies afterwards.",
    epilog="Each command has examples: refocal photo --help",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
for command in (photo, batch, sweep, living, views, bracket, lightfield, info, stack, sample, label, evaluate):
    app.command(no_args_is_help=False, cls=Command)(command)
# typer's own errors come from click, which newer releases of typer carry inside: reached through typer, it is right
# with both. BadParameter -> UsageError -> ClickException.
_ClickError: type[Exception] = typer.BadParameter.__mro__[2]


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"refocal {refocal.__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _start(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001  the callback has done it
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, or 2 after one line on stderr, 130 when interrupted."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    name = " ".join(["refocal", *[word for word in arguments[:1] if not word.startswith("-")]])
    for stream in (sys.stdout, sys.stderr):  # a file's name may be no text: it is printed as its bytes are
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="surrogateescape")
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, _, file, *__, **___: _show_warning(name, message, file)
        try:
            return int(app(arguments, prog_name="refocal", standalone_mode=False) or 0)
        except _ClickError as error:
            return _fail(name, error.format_message() if hasattr(error, "format_message") else str(error))
        except ImportError as error:
            if error.name is None or error.name.split(".")[0] == "refocal":
                raise  # ours: a bug, and its traceback is wanted
            print(
                f"{name} needs the pipeline extra: pip install 'refocal[pipeline]' (no {error.name} here)",
                file=sys.stderr,
            )
            return 2
        except (ValueError, OSError) as error:
            return _fail(name, str(error))
        except (KeyboardInterrupt, typer.Abort):
            _fail(name, "interrupted")
            return 130


def _show_warning(name: str, message: Warning | str, file: str) -> None:
    """Print a warning in one line; those of libraries are for developers."""
    if not {"PIL", "tifffile", "pillow_heif", "imagecodecs"} & set(Path(file).parts):
        print(f"{name}: warning: {message}", file=sys.stderr)


def _fail(name: str, message: str) -> int:
    print(f"{name}: {' '.join(message.split())}", file=sys.stderr)
    return 2
