"""The format of `--help`: options by panel, examples line by line. Written without rich, whose import takes longest."""

from typing import Any

from typer.core import TyperCommand

EXAMPLES = "For example:"


class Command(TyperCommand):
    """A command that shows its options by their `rich_help_panel`, and its examples as they are written."""

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
