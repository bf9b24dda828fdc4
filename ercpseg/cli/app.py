"""The application: its commands, and how errors become one line and an exit code."""

from __future__ import annotations

import errno
import logging
import traceback
from collections.abc import Callable
from typing import Annotated, Any

import typer

from ercpseg import errors
from ercpseg.cli import apply, assess, bring, compare, datasets, deploy, learn, make, plans, prepare, tune
from ercpseg.cli.console import WARNINGS, fail
from ercpseg.cli.threads import wait_without_spinning
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
    "import": bring.import_,
    "plan-and-preprocess": prepare.plan_and_preprocess,
    "train": learn.train,
    "tune": tune.tune,
    "predict": apply.predict,
    "bench": deploy.bench,
    "export": deploy.export,
    "evaluate": assess.evaluate,
    "report": assess.report,
    "compare": compare.compare,
    "synth": make.synth,
    "plans": plans.plans,
    "datasets": datasets.datasets,
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
    wait_without_spinning()


def run(arguments: list[str]) -> int:
    """Run one command; returns its exit code. ``--debug`` is taken anywhere; the exit codes stay the same with it."""
    debug = "--debug" in arguments
    logging.getLogger("ercpseg").addHandler(WARNINGS)  # a second time it changes nothing
    command = typer.main.get_command(app)
    try:
        # Not app(...), which would turn Ctrl-C and a closed pipe into exit codes of its own.
        with command.make_context("ercpseg", [a for a in arguments if a != "--debug"]) as context:
            return int(command.invoke(context) or 0)
    except typer.Exit as error:
        return error.exit_code
    except SystemExit:  # how rich takes it when nobody reads its output any more
        return errors.EXIT_IO
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            traceback.print_exception(error)
        return _code(error)


def _code(error: BaseException) -> int:
    """Say what went wrong in one line and choose the exit code."""
    if isinstance(error, errors.ErcpsegError):
        fail(error.message)
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        fail("stopped; run the same command to go on")
        return errors.EXIT_INTERRUPTED
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(str(error), err=True)
        return errors.EXIT_USAGE
    if hasattr(error, "format_message"):  # a usage error of the command-line library
        where = getattr(getattr(error, "ctx", None), "command_path", "ercpseg")
        fail(f"{error.format_message().rstrip('.')}; see {where} --help")
        return errors.EXIT_USAGE
    if errors.out_of_memory(error):
        fail("out of memory; close other programs, lower --memory or use a smaller batch")
        return errors.EXIT_RESOURCE
    if isinstance(error, OSError) and error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
        fail("a path that was given is too long or leads back to itself; give another")
        return errors.EXIT_USAGE
    if isinstance(error, OSError):
        where = f" (at {error.filename})" if error.filename else ""
        what = f"input or output failed: {error.strerror or type(error).__name__}{where}"
        fail(f"{what}; check space and permissions, then run again")
        return errors.EXIT_IO
    fail(f"this should not happen: {type(error).__name__}; run again with --debug and report what it prints")
    return errors.EXIT_OUR_FAULT
