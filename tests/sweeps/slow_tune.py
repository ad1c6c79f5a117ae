"""The command on cheap data, where every application takes a moment: `python -m tests.sweeps.slow_tune …`.

For tests that kill it, or start it several times at once.
"""

import os
import sys
import time

os.environ.setdefault("TQDM_DISABLE", "1")

import pytest
import torch

from interventions.base import Intervention
from interventions.composition import apply
from interventions.data.base import Data
from interventions.lm import LM
from sweeps.study import command
from tests.sweeps.conftest import cheapen

MOMENT = 0.3  # seconds


def _slowly(step: Intervention, lm: LM, data: Data, key: str) -> LM:
    time.sleep(MOMENT)
    print(f"applied {step.spec()}", file=sys.stderr, flush=True)
    return apply(step, lm, data, key)


if __name__ == "__main__":
    torch.set_num_threads(1)
    patch = pytest.MonkeyPatch()
    cheapen(patch)
    patch.setattr("tracking.chain.apply", _slowly)
    sys.exit(command.main(sys.argv[1:]))
