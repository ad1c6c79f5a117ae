"""Runs a plan step by step and logs what each step came to; then the recompressions, each a step of its own."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tqdm import tqdm

from interventions.composition import Composition
from interventions.criteria.cost import Cost
from tracking.chain import Chain
from tracking.checkpoints import delta
from tracking.log import Log


def execute(chain: Chain, log: Log) -> None:
    """Step 0, 1, …; then what has to be compressed again."""
    planned, policy = len(chain.steps), chain.plan.settings.checkpoints
    with tqdm(total=planned + 1, unit="step", desc=chain.plan.spec(), delay=5) as bar:
        for k in range(planned + 1):
            _step(chain, log, k, last=k == planned and not chain.may_recompress())
            bar.update()
        again = chain.recompress() if chain.may_recompress() else Composition()
        log.recompression(again, chain.keys[-1])
        for k in range(planned + 1, len(chain.steps) + 1):
            _step(chain, log, k, last=k == len(chain.steps))
    if chain.may_recompress() and not again and planned and policy == "last":
        _log_checkpoint(chain, log, planned)
    log.reused(chain.reused)


def _step(chain: Chain, log: Log, k: int, last: bool) -> None:
    measured, measuring = chain.measure(k)
    policy, model_id = chain.plan.settings.checkpoints, None
    if k and (policy in ("all", "changed") or (policy == "last" and last)):
        model_id = _log_checkpoint(chain, log, k)
    applied: Cost | None = chain.spent(k) if k else None
    log.step(
        k, chain.steps[k - 1] if k else None, chain.keys[k], measured, applied, measuring, model_id
    )


def _log_checkpoint(chain: Chain, log: Log, k: int) -> str:
    step, key, folder = chain.steps[k - 1], chain.keys[k], chain.folder(k)
    if chain.plan.settings.checkpoints != "changed":
        return log.checkpoint(k, step, key, folder)
    with tempfile.TemporaryDirectory(prefix="composability-changed-") as aside:
        delta.write(chain.folder(k - 1), folder, Path(aside))
        return log.checkpoint(k, step, key, Path(aside))
