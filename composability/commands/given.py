"""The options that a command was given, to be written into another command."""

from __future__ import annotations

import shlex
from collections.abc import Collection

import click


def given_options(context: click.Context, left_out: Collection[str]) -> str:
    """Return the options whose values are not their defaults, as a shell reads them.

    Args:
        context: of the command that runs.
        left_out: names of options that are not meant, such as "dry_run".

    Example:
        >>> seed = click.Option(["--seed"], default=0, type=int)
        >>> context = click.Command("run", params=[seed]).make_context("run", ["--seed", "3"])
        >>> given_options(context, ())
        '--seed 3'
    """
    words: list[str] = []
    for option in context.command.params:
        if not isinstance(option, click.Option) or option.name is None:
            continue
        value = context.params.get(option.name)
        if option.name not in left_out and value != option.get_default(context):
            text = str(value).lower() if isinstance(value, bool) else str(value)
            words += [option.opts[0], text]
    return shlex.join(words)
