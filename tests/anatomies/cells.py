"""One cell of the table: an intervention applied to a small model, held against its reference."""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from interventions.base import Intervention, make
from interventions.branches import branch_models
from interventions.composition import computed_branches
from interventions.data.base import Data
from interventions.errors import InvalidInput
from interventions.lm import LM, skeleton
from tests.anatomies.references import Count, count_saved
from tests.anatomies.zoo import ANATOMIES, Anatomy

Verdict = Literal["right", "refused", "LATE", "WRONG", "ERROR"]
_KEY = "0" * 32  # of no checkpoint; where branches are drawn from
GROUP = 32  # divides the inputs of every small matrix

SETTINGS: dict[str, dict[str, Any]] = {
    "magnitude": {"sparsity": 0.5},
    "wanda": {"sparsity": 0.5},
    "sparsegpt": {"sparsity": 0.5},
    "rtn": {"bits": 3, "group": GROUP},
    "hqq": {"bits": 3, "group": GROUP},
    "gptq": {"bits": 3, "group": GROUP},
    "awq": {"bits": 3, "group": GROUP},
    "ft": {"layers": (0, 1), "steps": 3, "lr": 1e-3},
    "lora": {"steps": 8, "lr": 5e-3, "rank": 4},
    "memit": {"layers": (0, 1), "steps": 12, "covariance": 1e-4},
    "alphaedit": {"layers": (0, 1), "steps": 12, "threshold": 1.0, "ridge": 1e-6},
    "ga": {"samples": 8, "last_layers": 2, "lr": 1e-3},
    "gd": {"samples": 8, "last_layers": 2, "lr": 1e-3, "retain_batch": 4},
    "finetune": {"steps": 3, "batch": 4, "layers": (0, 1), "lr": 1e-3},
    "npo": {
        "steps": 3, "batch": 4, "last_layers": 2, "lr": 1e-3, "retain_batch": 4, "beta": 0.5,
    },
    "simnpo": {
        "steps": 3, "batch": 4, "last_layers": 2, "lr": 1e-3, "retain_batch": 4, "margin": 0.1,
    },
    "merge": {"branches": ("magnitude(sparsity=0.5)", "rtn(bits=3, group=32)"), "how": "ties"},
    "rmu": {"layer": 2, "steps": 3, "batch": 4, "lr": 1e-3, "steering": 20.0},
}  # fmt: skip


class Wrong(Exception):
    """What ours gives differs from the reference; the message has the numbers."""


@dataclass(frozen=True)
class Cell:
    """What became of one intervention on one anatomy.

    Attributes:
        verdict: "right" agrees with the reference; "refused" is a one-line error before weights are
            loaded; "LATE" is one after; "WRONG" differs; "ERROR" is a traceback.
        note: the check's name, the line of the refusal, the numbers, or the exception.
    """

    verdict: Verdict
    note: str


@dataclass
class Case:
    """What a check looks at.

    Attributes:
        anatomy: of the model.
        step: the intervention.
        lm: the model after the step.
        data: that the step used.
        folder: of the untouched checkpoint.
    """

    anatomy: Anatomy
    step: Intervention
    lm: LM
    data: Data
    folder: Path

    def saved(self, bits: int = 0) -> Count:
        """Return the count over the model's saved safetensors."""
        with tempfile.TemporaryDirectory() as folder:
            self.lm.save(Path(folder))
            return count_saved(Path(folder), self.anatomy, bits, GROUP)


Check = Callable[[Case], str]


def cell(name: str, method: str, folder: Path, data: Data, check: Check) -> Cell:
    """Return the verdict on one intervention on one anatomy.

    Args:
        name: of the anatomy.
        method: of the intervention.
        folder: of the anatomy's checkpoint.
        data: what the intervention uses.
        check: compares the result with a reference; returns the check's name, or raises Wrong.
    """
    try:
        step = make(method, **SETTINGS[method])
        step.check(skeleton(folder))
    except InvalidInput as error:
        return Cell("refused", _line(error))
    except Exception as error:
        return Cell("ERROR", f"check: {_where(error)}")
    try:
        lm = LM.load(folder)
        torch.manual_seed(0)
        with branch_models(computed_branches(step, lm, data, _KEY)):
            changed = step.apply(lm, data)
    except InvalidInput as error:
        return Cell("LATE", _line(error))
    except Exception as error:
        return Cell("ERROR", f"apply: {_where(error)}")
    return judged(lambda: check(Case(ANATOMIES[name], step, changed, data, folder)))


def judged(check: Callable[[], str]) -> Cell:
    """Return the verdict of a check that returns its name, raises Wrong or fails."""
    try:
        return Cell("right", check())
    except Wrong as error:
        return Cell("WRONG", str(error))
    except InvalidInput as error:
        return Cell("LATE", _line(error))
    except Exception as error:
        return Cell("ERROR", f"check: {_where(error)}")


def _line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _where(error: Exception) -> str:
    """Return an exception with the last place in our code that it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "interventions" in Path(frame.filename).parts]
    frame = (ours or list(frames))[-1]
    place = f"{Path(frame.filename).name}:{frame.lineno}"
    return f"{type(error).__name__} at {place}: {_line(error)}"[:200]
