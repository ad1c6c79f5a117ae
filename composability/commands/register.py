"""`composability register`: a run's checkpoint in MLflow's model registry."""

from __future__ import annotations

import click

from composability.commands.options import choice, integer, text, trusts
from interventions.options import EXPORTS, UNPACKED


@click.command()
@click.argument("run_id")
@click.option("--name", required=True, help="Of the registered model; it is made if missing.")
@integer("--step", 0, 0, "The checkpoint after so many interventions; 0: after all.")
@text("--alias", "none", 'What the version is called from now on: "champion".')
@choice(
    "--export",
    UNPACKED,
    EXPORTS,
    "Register the packed form of a quantized checkpoint.",
)
@trusts("Where the run had it: ")
def register(
    run_id: str,
    name: str,
    step: int,
    alias: str,
    export: str,
    trust_remote_code: bool,
    allow_pickle: bool,
) -> int:
    """Register a checkpoint of run RUN_ID, with a card that says what it is.

    `models:/NAME@ALIAS` then gives a folder that `from_pretrained` loads, without this package. A
    checkpoint that the run did not log whole is restored and verified first.
    """
    from tracking.lifecycle import exit_status

    def write() -> None:
        from tracking.registration import register as register_checkpoint

        print(
            register_checkpoint(
                run_id,
                name,
                step or None,
                "" if alias == "none" else alias,
                export=export,
                trust_remote_code=trust_remote_code,
                allow_pickle=allow_pickle,
            )
        )

    return exit_status(write)
