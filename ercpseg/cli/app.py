"""The application: its commands, and how errors become one line and an exit code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from ercpseg import errors
from ercpseg.cli import apply, assess, learn, make, prepare
from ercpseg.cli.console import fail
from ercpseg.version import __version__

HELP = """Self-configuring segmentation of ERCP X-ray fluoroscopy: endoscope, guidewire, bile duct, stones.

Three commands do the job:

\b
  ercpseg plan-and-preprocess DATASET    look at the data, decide, say why
  ercpseg train DATASET FOLD             train one fold of the plan
  ercpseg predict INPUT OUTPUT --model DATASET

To see it all work on synthetic frames: ercpseg demo
"""

app = typer.Typer(
    help=HELP, pretty_exceptions_enable=False, no_args_is_help=True, add_completion=False, rich_markup_mode=None
)
COMMANDS: dict[str, Callable[..., Any]] = {
    "demo": make.demo,
    "plan-and-preprocess": prepare.plan_and_preprocess,
    "train": learn.train,
    "predict": apply.predict,
    "evaluate": assess.evaluate,
    "report": assess.report,
    "synth": make.synth,
    "plans": prepare.plans,
}
for command, function in COMMANDS.items():
    app.command(command)(function)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"ercpseg {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    pass


def run(arguments: list[str]) -> int:
    """Run one command; returns its exit code. ``--debug`` is taken anywhere."""
    debug = "--debug" in arguments
    arguments = [a for a in arguments if a != "--debug"]
    try:
        return int(app(arguments, standalone_mode=False) or 0)
    except Exception as error:
        if debug:
            raise
        return _code(error)
    except KeyboardInterrupt:
        fail("stopped; run the same command to go on")
        return errors.EXIT_INTERRUPTED


def _code(error: Exception) -> int:
    """Say what went wrong in one line and choose the exit code."""
    if isinstance(error, errors.ErcpsegError):
        fail(error.message)
        return error.exit_code
    if hasattr(error, "format_message"):  # a usage error of the command-line library
        fail(f"{error.format_message()}; see ercpseg COMMAND --help")
        return errors.EXIT_USAGE
    if type(error).__name__ == "Exit":
        return int(getattr(error, "exit_code", 0))
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        fail("out of memory; close other programs, lower --memory or use a smaller batch")
        return errors.EXIT_RESOURCE
    if isinstance(error, OSError):
        fail(
            f"input or output failed: {error.strerror or type(error).__name__}; check space and permissions, then run again"
        )
        return errors.EXIT_IO
    fail(f"this should not happen: {type(error).__name__}; run again with --debug and report what it prints")
    return errors.EXIT_OUR_FAULT
