"""The command `composability`: its subcommands, and how every error becomes one line.

Nothing here imports torch or MLflow, so that `--help` answers at once; a subcommand imports what it
needs when it runs.
"""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from importlib import metadata

import click

from composability.commands.analyze import analyze
from composability.commands.cache import cache
from composability.commands.compare import compare
from composability.commands.findings import published_findings
from composability.commands.grid import grid
from composability.commands.listing import list_known
from composability.commands.plan import plan
from composability.commands.published import published
from composability.commands.register import register
from composability.commands.restore import restore
from composability.commands.run import run
from composability.commands.setup import setup
from composability.commands.tune import tune
from interventions.errors import printable_line
from interventions.masking import without_secrets

_FAILED, _BAD_INPUT, _INTERRUPTED = 1, 2, 130  # exit statuses
_MOST_OF_CLICK = 320  # characters of its message: where to find help must fit behind


def _version() -> str:
    try:
        return metadata.version("composable-interventions")
    except metadata.PackageNotFoundError:
        return "not installed"


@click.group(
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
    }
)
@click.version_option(_version(), prog_name="composability")
def cli() -> None:
    """Find out whether interventions on a language model compose.

    Every composition of interventions becomes an MLflow run, in the store that MLFLOW_TRACKING_URI
    names, by default this checkout's or the current folder's `mlflow.db`.
    """


for _command in (
    run,
    plan,
    grid,
    tune,
    analyze,
    compare,
    published_findings,
    published,
    register,
    restore,
    cache,
    list_known,
    setup,
):
    cli.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: what follows `composability`; the process's own by default.

    Returns:
        The exit status: 0; 1 where something failed while it ran; 2 for bad input, said in one
        line; 130 for Ctrl-C; 143 for SIGTERM.

    Example:
        >>> main(["run", "wnda"])
        2
    """
    # libraries' progress bars only where something takes over 5 s, and never one per artifact
    os.environ.setdefault("TQDM_DELAY", "5")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # MLflow's own lines on stdout, between those of a command whose output may be JSON
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    # on cores shared with other processes, OpenMP threads that spin cost tenfold
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    as_python_writes_it, warnings.formatwarning = warnings.formatwarning, _warning_in_a_line
    try:
        status = cli.main(
            [_dashed(word) for word in (sys.argv[1:] if arguments is None else arguments)],
            prog_name="composability",
            standalone_mode=False,
        )
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.ctx.get_help() if error.ctx else error.format_message(), file=sys.stderr)
        return _BAD_INPUT
    except click.ClickException as error:
        return _refuse(error)
    except click.Abort:
        return _INTERRUPTED
    except Exception:
        text = traceback.format_exc()
        if without_secrets(text) == text:
            raise
        # a library's message may quote the store's address, which Python would print as it is
        print(without_secrets(text), file=sys.stderr)
        return _FAILED
    finally:
        warnings.formatwarning = as_python_writes_it
    return status if isinstance(status, int) else 0


def _warning_in_a_line(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    """Return a warning as the command line writes it: where in the code it arose helps nobody."""
    return f"warning: {without_secrets(' '.join(str(message).split()))}\n"


def _dashed(word: str) -> str:
    """Return an option's name with dashes: MLflow's parameters and older scripts have underscores.

    Example:
        >>> _dashed("--edit_batch=1"), _dashed("held_out")
        ('--edit-batch=1', 'held_out')
    """
    name, sign, value = word.partition("=")
    return name.replace("_", "-") + sign + value if word.startswith("--") else word


def _refuse(error: click.ClickException) -> int:
    """Say in one line what is wrong with the command line; end the run that MLflow made for it."""
    line = printable_line(error.format_message(), _MOST_OF_CLICK)
    if isinstance(error, click.UsageError) and error.ctx is not None:
        line += f" (see {error.ctx.command_path} --help)"
    if "MLFLOW_RUN_ID" in os.environ:
        from tracking.lifecycle import refuse

        refuse(line)
    else:
        print(f"error: {printable_line(line)}", file=sys.stderr)
    return _BAD_INPUT
