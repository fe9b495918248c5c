"""The one front door: `fieldscope`. Without a command it opens the window.

This package answers at once: what a command needs is imported when it is called.
"""

from __future__ import annotations

import logging
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from acquisition.errors import OperatorError
from gui.cli import exporting, files, instrument, reconstruction
from gui.commands.end_signals import end_signals

if TYPE_CHECKING:
    from collections.abc import Callable

EXIT_OPERATOR_ERROR = 2
EXIT_INTERRUPTED = 130

COMMANDS: dict[str, Callable[..., None]] = {
    "demo": instrument.demo,
    "plan": instrument.plan,
    "capture": instrument.capture,
    "reference": instrument.reference,
    "import": files.import_,
    "check": files.check,
    "recover": files.recover,
    "reconstruct": reconstruction.reconstruct,
    "calibrate": reconstruction.calibrate,
    "export": exporting.export,
    "view": exporting.view,
    "info": files.info,
    "simulate-led": instrument.simulate_led,
}
"""In the order in which --help lists them."""

app = typer.Typer(
    name="fieldscope",
    no_args_is_help=False,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for name, function in COMMANDS.items():
    app.command(name)(function)


@app.callback(invoke_without_command=True)
def window(
    context: typer.Context,
    profile: Annotated[
        str | None, typer.Option("--profile", "-p", help="Hardware profile to choose at the start.", metavar="PROFILE")
    ] = None,
    file: Annotated[Path | None, typer.Option("--open", help="Capture or field to open.", metavar="FILE")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the program's log on stderr.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Live 3D refractive-index microscopy with an LED array.

    Without a command the window opens: choose a profile, capture, and watch the volume form.
    """
    # What an operator has to know is told in words; the log says it again with the details.
    log: logging.Handler = logging.StreamHandler() if verbose else logging.NullHandler()
    logging.basicConfig(level=logging.INFO, handlers=[log], format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if version:
        from importlib.metadata import PackageNotFoundError
        from importlib.metadata import version as installed_version

        try:
            typer.echo(f"fieldscope {installed_version('fieldscope')}")
        except PackageNotFoundError:  # run from the source tree
            typer.echo("fieldscope (not installed)")
        raise typer.Exit
    command = context.invoked_subcommand
    if command is not None and (profile is not None or file is not None):
        option = "--profile" if profile is not None else "--open"
        raise OperatorError(
            f"{option} before the command {command} is an option of the window, {command} would not see it.",
            f"Write options after the command; `fieldscope {command} --help` tells those that it has.",
        )
    if command is None:
        from gui.app import main as open_window

        arguments = [*(["--profile", profile] if profile else []), *([str(file)] if file else [])]
        raise typer.Exit(open_window(arguments))


def main() -> NoReturn:
    """Run the command line; errors that the operator can cure are told with their remedy, exit code 2."""
    for number in end_signals():
        signal.signal(number, signal.default_int_handler)  # ends as cleanly as Ctrl-C
    try:
        app()
    except OperatorError as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(EXIT_OPERATOR_ERROR)
    except KeyboardInterrupt:
        typer.echo("Stopped.", err=True)
        sys.exit(EXIT_INTERRUPTED)
    sys.exit(0)
