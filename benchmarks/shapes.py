"""Every intervention and criterion at the size of a real model: `python -m benchmarks.shapes`.

Weights are random and texts of made-up words, as many as the paper's: neither a checkpoint nor a
hub is needed. Prints, for each with the paper's hyperparameters, seconds, tokens a second and peak
memory, beside the target of an H100 (8B); on a GPU the peak is that of torch's allocator, on a CPU
that of live tensors (``--memory``, which runs everything once more).
"""

from __future__ import annotations

import argparse
import gc
import json
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.made_up import SHAPES, draw_weights, made_up_data, random_lm, shape_config
from interventions.anatomy import blocks
from interventions.base import INTERVENTIONS, Intervention, make
from interventions.base_model import base_model
from interventions.composition import apply
from interventions.criteria.base import measure
from interventions.data.base import Data
from interventions.hyperparameters import fields_of
from interventions.live_memory import live_memory
from interventions.lm import DTYPES, LM

_GIB = 2**30
_KEY = "0123456789abcdef"
_QUESTIONS, _PERPLEXITY, _EDITS = "mmlu + wmdp", "wikitext_ppl", "editing criteria"
_RELEARNED = "relearned"
CRITERIA = {
    _QUESTIONS: ["mmlu", "wmdp"],
    _PERPLEXITY: ["wikitext_ppl"],
    _EDITS: ["edit_success", "edit_generalization", "edit_locality"],
    _RELEARNED: ["relearned"],
}
HASH = "fingerprint"
OWN_FILES = ("adapter",)  # which somebody must bring
# seconds on an H100 at 8B, and GiB with the weights (15)
TARGETS = {
    "wanda": (120, 40),
    "sparsegpt": (360, 40),
    "gptq": (360, 23),
    "awq": (300, 40),
    "memit": (180, 40),
    "rmu": (120, 40),
    "ga": (None, 80),
    "gd": (None, 80),
    _QUESTIONS: (120, 40),
}


@dataclass(frozen=True)
class Row:
    """What one step or criterion cost.

    Attributes:
        name: of it.
        seconds: of wall time, one run.
        tokens: that went through the model, padding included.
        peak_gib: peak memory on the device, weights included; None if it was not measured.
        own_gib: that above the weights.
        error: why it did not end; "" if it did.
    """

    name: str
    seconds: float
    tokens: int = 0
    peak_gib: float | None = None
    own_gib: float | None = None
    error: str = ""


def fitting(name: str, lm: LM) -> Intervention:
    """Return an intervention as the paper set it, on no more blocks than the model has."""
    count = len(blocks(lm.model))
    fields = fields_of(INTERVENTIONS.get(name))
    values: dict[str, Any] = {}
    if "last_layers" in fields:
        values["last_layers"] = min(16, count // 2)
    if "layers" in fields:
        # the last ones where a shorter model is asked for
        values["layers"] = tuple(range(max(0, min(9, count) - 5), min(9, count)))
    step = make(name, "paper", **values)
    step.check(lm.model)
    return step


def jobs(lm: LM, data: Data, names: list[str]) -> dict[str, Callable[[], object]]:
    """Return what is measured, by name."""

    def applied(name: str) -> object:
        with base_model(lambda: lm):  # of the first step the model is the base model
            return apply(fitting(name, lm), lm, data, _KEY)

    work: dict[str, Callable[[], object]] = {
        name: partial(applied, name) for name in INTERVENTIONS.all() if name not in OWN_FILES
    }
    for name, criteria in CRITERIA.items():
        work[name] = partial(measure, lm, _answered(data), criteria)
    work[HASH] = lm.fingerprint
    return {name: job for name, job in work.items() if not names or name in names}


def _answered(data: Data) -> Data:
    # locality compares with the base model's answers, which are random here too
    return replace(data, base_answers=tuple("w1" for _ in data.locality))


def measured(name: str, job: Callable[[], object], lm: LM, with_memory: bool) -> Row:
    """Run a job on fresh random weights, and return what it cost."""
    cuda = lm.device.type == "cuda"
    draw_weights(lm.model)
    lm.grids.clear()
    gc.collect()
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    weights = sum(weight.nbytes for weight in lm.model.parameters()) / _GIB
    tokens = 0

    def count(embedding: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        nonlocal tokens
        tokens += inputs[0].numel()

    handle = lm.model.get_input_embeddings().register_forward_pre_hook(count)
    start = time.perf_counter()
    try:
        job()
        if cuda:
            torch.cuda.synchronize()
    except Exception as error:  # the others are measured all the same
        traceback.print_exc()
        return Row(
            name, time.perf_counter() - start, error=f"{type(error).__name__}: {error}"[:200]
        )
    finally:
        handle.remove()
    seconds = time.perf_counter() - start
    peak = torch.cuda.max_memory_allocated() / _GIB if cuda else None
    if with_memory and not cuda:
        draw_weights(lm.model)
        with live_memory() as memory:
            memory.register(lm.model)
            job()
        peak = memory.peak_bytes / _GIB
    return Row(name, seconds, tokens, peak, None if peak is None else peak - weights)


def line(row: Row, size: str) -> str:
    """Return a row of the table as text."""
    target_seconds, target_gib = (
        TARGETS.get(row.name, (None, None)) if size == "8b" else (None,) * 2
    )
    cells = [
        row.name,
        f"{row.seconds:.1f}",
        "" if target_seconds is None else f"<= {target_seconds}",
        f"{row.tokens / row.seconds:,.0f}" if row.tokens else "",
        "" if row.peak_gib is None else f"{row.peak_gib:.2f}",
        "" if row.own_gib is None else f"{row.own_gib:.2f}",
        "" if target_gib is None else f"<= {target_gib}",
        row.error,
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Read the command line, measure, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=SHAPES, default="10m")
    parser.add_argument("--blocks", type=int, help="decoder blocks; all by default")
    parser.add_argument("--share", type=float, default=1.0, help="of texts and questions")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=DTYPES)
    parser.add_argument("--only", nargs="*", default=[], help="names; all by default")
    parser.add_argument("--memory", action="store_true", help="count live tensors on a CPU")
    parser.add_argument("--most-seconds", type=float, help="begin nothing after as many")
    parser.add_argument("--out", type=Path, help="a JSON file for the rows")
    options = parser.parse_args()
    began = time.perf_counter()
    dtype = options.dtype or ("bfloat16" if options.device.startswith("cuda") else "float32")
    config = shape_config(options.size, options.blocks)
    lm = random_lm(config, options.device, DTYPES[dtype])
    data = made_up_data(config, options.share)
    device = torch.cuda.get_device_name() if lm.device.type == "cuda" else "CPU"
    count = sum(weight.numel() for weight in lm.model.parameters())
    print(
        f"{options.size}: {count / 1e6:,.0f} million weights, {config.num_hidden_layers} blocks,"
        f" {dtype}, {device}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    print("| | seconds | target | tokens/s | peak GiB | above the weights | target | |")
    print("|---" * 8 + "|")
    rows: list[Row] = []
    for name, job in jobs(lm, data, options.only).items():
        if options.most_seconds and time.perf_counter() - began > options.most_seconds:
            print(f"| {name} | not begun: time |", flush=True)
            continue
        rows.append(measured(name, job, lm, options.memory))
        print(line(rows[-1], options.size), flush=True)
        if options.out:
            options.out.write_text(json.dumps([asdict(row) for row in rows], indent=1))


if __name__ == "__main__":
    main()
