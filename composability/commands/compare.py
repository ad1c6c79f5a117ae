"""`composability compare`: both orders of a pair side by side."""

from __future__ import annotations

from dataclasses import replace
from json import dumps
from typing import TYPE_CHECKING

import click

from composability.commands.options import switch, text
from tracking.store import EXPERIMENT

if TYPE_CHECKING:
    from analysis.comparison import Comparison


@click.command()
@click.argument("pair", nargs=-1, required=True, metavar="PAIR | RUN RUN")
@text("--experiment", EXPERIMENT, "Where the runs of a PAIR are.")
@text("--ui", "auto", "Address of MLflow's UI, for links.")
@switch("--json", "Print the comparison as JSON, and nothing else on stdout.")
def compare(pair: tuple[str, ...], experiment: str, ui: str, json: bool) -> int:
    """Print both orders of a PAIR, such as "lora + wanda", side by side.

    All finished runs of both orders count, over batches of edits and seeds. Two ids of runs compare
    these two. A difference is marked only where a test says that there is one.
    """
    from tracking.lifecycle import exit_status

    if len(pair) > 2:
        raise click.UsageError('name one pair, in quotes: "lora + wanda"; or two runs by their ids')
    return exit_status(lambda: _compare(pair, experiment, ui, json))


def _compare(words: tuple[str, ...], experiment: str, ui: str, as_json: bool) -> None:
    from analysis.comparison import compare_pair, compare_runs
    from composability.comparison_text import comparison_text
    from interventions.errors import plain_text
    from tracking.links import start_hint, ui_address
    from tracking.markup import web_address
    from tracking.passwords import check_no_passwords

    check_no_passwords({"experiment": experiment, "ui": ui})
    for name, word in (("pair", words[0]), ("run", words[-1]), ("experiment", experiment)):
        plain_text(name, word)
    address = ui_address() if ui == "auto" else web_address("ui", ui).rstrip("/")
    if len(words) == 2:
        comparison = compare_runs(*words, address)
    else:
        comparison = compare_pair(words[0], experiment, address)
    comparison = with_saved_views(comparison, address)
    if as_json:
        print(dumps(comparison.as_json(), indent=2))
    else:
        print(comparison_text(comparison, start_hint(address)))


def with_saved_views(comparison: Comparison, ui: str) -> Comparison:
    """Save the views of a comparison, and link to them; where none can be saved, to a filter.

    Args:
        comparison: of a pair.
        ui: address of MLflow's UI.
    """
    from analysis.pair_links import CHARTS
    from tracking import saved_views, store
    from tracking.links import charts_link

    client, experiment_id = store.client(), comparison.experiment_id
    saved = {
        name: charts_link(ui, experiment_id, view=view.key)
        for name, view in comparison.views.items()
        if saved_views.save_view(client, experiment_id, view)
    }
    links = {name: link for name, link in comparison.links.items() if name != CHARTS or not saved}
    return replace(comparison, links={**saved, **links})
