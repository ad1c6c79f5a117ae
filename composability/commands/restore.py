"""`composability restore`: the full folder of a run's checkpoint."""

from __future__ import annotations

import click

from composability.commands.options import Integer, trusts


@click.command()
@click.argument("run_id")
@click.argument("step", type=Integer())
@click.argument("folder")
@trusts("Where the run had it: ")
def restore(
    run_id: str, step: int, folder: str, trust_remote_code: bool, allow_pickle: bool
) -> int:
    """Write a checkpoint of run RUN_ID into a new FOLDER.

    It is the checkpoint after STEP interventions, as `from_pretrained` loads it.

    Whether the run logged it whole, as what changed, or not at all: it is put together from the
    artifacts, or computed again, and checked against the checksum that the run recorded. FOLDER
    appears only when it is complete.
    """
    from tracking.checkpoints.restore import load_checkpoint
    from tracking.lifecycle import exit_status

    def write() -> None:
        restored = load_checkpoint(
            run_id,
            step,
            folder,
            trust_remote_code=trust_remote_code,
            allow_pickle=allow_pickle,
        )
        print(restored)

    return exit_status(write)
