"""What every intervention takes at the size of a real model: `python -m benchmarks.plan_shapes`.

Counted on models without weights, with the paper's hyperparameters and texts of made-up words, as
many as the paper's: what `composability plan` says without a checkpoint or a hub. Prints peak
memory on the device, weights included, and the seconds of an H100, which are estimates.
"""

from __future__ import annotations

import argparse

import torch
from transformers import LlamaForCausalLM

from benchmarks.made_up import SHAPES, made_up_data, shape_config, word_tokenizer
from benchmarks.shapes import OWN_FILES, fitting
from interventions.base import INTERVENTIONS
from interventions.criteria.base import applicable
from interventions.lm import DTYPES, LM
from interventions.rehearsal.meta import Takes
from interventions.rehearsal.speed import speed_of
from interventions.rehearsal.steps import Stage, Unknown

_GIB = 2**30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SHAPES, default="8b")
    parser.add_argument("--dtype", choices=DTYPES, default="bfloat16")
    parser.add_argument("--only", nargs="*", default=[], help="names; all by default")
    options = parser.parse_args()
    config = shape_config(options.size)
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    tokenizer, data = word_tokenizer(config.vocab_size), made_up_data(config)
    stage = Stage(model, tokenizer, DTYPES[options.dtype], speed_of("cuda"))
    print(
        f"{options.size}, {options.dtype}: weights {stage.weight_bytes / _GIB:.1f} GiB", flush=True
    )
    lm = LM(model, tokenizer)
    for name in INTERVENTIONS.all():
        if name not in OWN_FILES and name in (options.only or INTERVENTIONS.all()):
            step = fitting(name, lm)
            print_row(name, stage.step(step, step.own_data(data)))
    if not options.only:
        print_row("criteria", stage.criteria(applicable(data), data))


def print_row(name: str, takes: Takes | Unknown) -> None:
    if isinstance(takes, Unknown):
        print(f"{name:10} {takes.reason}", flush=True)
    else:
        print(f"{name:10} {takes.peak_bytes / _GIB:6.1f} GiB {takes.seconds:8.0f} s", flush=True)


if __name__ == "__main__":
    main()
