"""The options of the command line and their defaults, as one types them."""

import click

from composability.command import cli


def option_defaults(command_name: str) -> dict[str, str]:
    """Return the options of a subcommand, by their parameter's name: edit_batch to "0"."""
    return {
        option.name: _as_text(option.default)
        for option in cli.commands[command_name].params
        if isinstance(option, click.Option) and option.name
    }


def _as_text(default: object) -> str:
    if isinstance(default, float):
        return f"{default:g}"
    return str(default).lower() if isinstance(default, bool) else str(default)
