"""Layout of the help pages: panels, examples, and commands that also accept old option names.

Which options there are is left to the commands and to `toonvid.commands.options`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.markup import escape
from typer.core import TyperCommand, TyperGroup

from toonvid.commands.messages import printable
from toonvid.errors import without_secrets

# Panels of the options; a command uses those that it needs.
OUTPUT_PANEL = "Output"
STYLE_PANEL = "Style"
SOURCE_PANEL = "Source"
ENCODING_PANEL = "Encoding"
BACKEND_PANEL = "Backend"
MESSAGES_PANEL = "Messages"

# Panels of the commands in `toonvid --help`.
CARTOONS_PANEL = "Cartoons"
TRAINING_PANEL = "Training"
MACHINE_PANEL = "This machine"

_OLD_NAMES = {
    "--target": "--output",
    "--licence": "--license",
    "--probe": "--sweep",
    "--probe-steps": "--sweep-steps",
}
"""Option names of earlier versions, which are still accepted, and the names of today."""


def split_docstring(docstring: str | None) -> tuple[str, str]:
    """Split a command's docstring into its help text and the examples at the end of the page.

    Args:
        docstring: Paragraphs, then a section `Examples:` with one command per line.

    Returns:
        The help text, one line per paragraph so that it can be wrapped to any width; and the
        examples, in rich markup, empty if there are none.
    """
    text, _, examples = inspect.cleandoc(docstring or "").partition("\n\nExamples:\n")
    paragraphs = [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]
    lines = [f"  {line}" for line in inspect.cleandoc(examples).splitlines()]
    epilog = escape("\n".join(["Examples:", *lines])) if examples else ""
    return escape("\n\n".join(paragraphs)), epilog


# Typer has its own copy of click in a private module, so the two methods below cannot name the type
# of the context that they are given.
class _PlainHelp:
    """Shows no type for flags, and reads old option names."""

    params: list[Any]

    def get_params(self, ctx: Any) -> list[Any]:
        """List the parameters. Typer prints `<bool>` after every flag that has no metavar."""
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            if getattr(param, "is_flag", False) and param.metavar is None:
                param.metavar = ""
        return params

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments of the command line, with old option names replaced."""
        known = {name for param in self.params for name in param.opts}
        words = [_current_name(word, known) for word in args]
        with _printable_errors():
            rest: list[str] = super().parse_args(ctx, words)  # type: ignore[misc]
        return rest


class PlainCommand(_PlainHelp, TyperCommand):
    """A command with a plain help page."""


class PlainGroup(_PlainHelp, TyperGroup):
    """A group of commands with a plain help page."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that is named."""
        with _printable_errors():
            return super().resolve_command(ctx, args)


@contextmanager
def _printable_errors() -> Iterator[None]:
    """Escape control characters in messages of Typer, which repeat words of the command line.

    The words may be file names: `toonvid convert *` takes a file named `--x` for an option.
    """
    try:
        yield
    except Exception as error:
        if isinstance(message := getattr(error, "message", None), str):
            error.message = printable(without_secrets(message))  # type: ignore[attr-defined]
        raise


def _current_name(word: str, known: set[str]) -> str:
    name, equals, value = word.partition("=")
    new_name = _OLD_NAMES.get(name)
    if new_name is None or name in known or new_name not in known:
        return word
    return f"{new_name}{equals}{value}"
