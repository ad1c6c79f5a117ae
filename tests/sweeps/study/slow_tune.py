"""The command on the small testbed, slowed down: `python -m tests.sweeps.study.slow_tune …`.

For tests that kill it, or start it several times at once.
"""

import os
import sys
import time

os.environ.setdefault("TQDM_DISABLE", "1")

import pytest
import torch

from composability.command import main
from interventions.base import Intervention
from interventions.composition import apply
from interventions.data.base import Data
from interventions.lm import LM
from tests.sweeps.small_testbed import use_small_testbed

APPLY_SECONDS = 0.3


def _apply_slowly(step: Intervention, lm: LM, data: Data, key: str) -> LM:
    time.sleep(APPLY_SECONDS)
    print(f"applied {step.spec()}", file=sys.stderr, flush=True)
    return apply(step, lm, data, key)


if __name__ == "__main__":
    torch.set_num_threads(1)
    patch = pytest.MonkeyPatch()
    use_small_testbed(patch)
    patch.setattr("tracking.chain.apply", _apply_slowly)
    sys.exit(main(["tune", *sys.argv[1:]]))
