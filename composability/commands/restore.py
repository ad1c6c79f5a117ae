"""`composability restore`: the full folder of a run's checkpoint."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run_id")
@click.argument("step", type=int)
@click.argument("folder", type=click.Path(path_type=Path))
def restore(run_id: str, step: int, folder: Path) -> int:
    """Write a checkpoint of run RUN_ID into a new FOLDER.

    It is the checkpoint after STEP interventions, as `from_pretrained` loads it.

    Whether the run logged it whole, as what changed, or not at all: it is put together from the
    artifacts, or computed again, and checked against the recorded sums.
    """
    from tracking.checkpoints.restore import load_checkpoint
    from tracking.lifecycle import exit_status

    return exit_status(lambda: print(load_checkpoint(run_id, step, folder)))
