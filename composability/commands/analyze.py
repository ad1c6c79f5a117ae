"""`composability analyze`: tables, figures and a report of recorded runs."""

from __future__ import annotations

import click

from composability.commands.options import choice, text
from tracking.store import EXPERIMENT

ERRORS = ("best", "worst")
ITEMS = ("auto", "all", "none")


@click.command()
@text("--experiment", EXPERIMENT, "Name, or several with commas between.")
@text("--output", "none", "Folder for the files, besides the run's artifacts.")
@text("--criteria", "all", '"edit_success,mmlu".')
@text("--levels", "paper", 'The levels of Tables 2 to 4: "sparsity=0.25,bits=4".')
@text("--bounds", "none", 'Leave out levels where a criterion is worse: "mmlu=0.4".')
@choice("--error", "best", ERRORS, "best: as the paper's tables; worst: as its equation 1.")
@choice("--items", "auto", ITEMS, "Intervals over items; auto: where there are few replicates.")
@text("--ui", "auto", "Address of MLflow's UI, for links.")
@choice("--studies", "false", ("false", "true"), "Whether runs of studies are analysed, too.")
@text(
    "--register", "none", 'Register the better order\'s checkpoint: NAME, or "lora + wanda: NAME".'
)
def analyze(**options: str) -> int:
    """Write tables, figures and a report of recorded runs.

    They become the artifacts of a run in the experiment `reports`.
    """
    from tracking.lifecycle import exit_status

    return exit_status(lambda: _analyze(options))


def _analyze(options: dict[str, str]) -> None:
    from analysis.report.run import run_command
    from interventions.errors import InvalidInput

    logged = run_command(options)
    if logged.refusal:
        raise InvalidInput(logged.refusal)
    if logged.champion is None:
        return

    from analysis.report.champion import ALIAS
    from tracking.registration import register

    name = options["register"].rpartition(":")[2].strip()
    print(register(logged.champion.run_id, name, None, ALIAS, tags=logged.champion.tags))
