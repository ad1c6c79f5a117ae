"""What block-wise compression needs beside the model itself, on a random model that is larger."""

from __future__ import annotations

import dataclasses
import gc
import os
import subprocess
import sys

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.published_methods import KEY
from interventions.anatomy import blocks
from interventions.base import make
from interventions.composition import apply
from interventions.criteria.cost import cost
from interventions.data.testbed import MODEL, testbed
from interventions.lm import LM, batches

METHODS = ("wanda", "sparsegpt", "gptq", "awq")
_WITHOUT_HESSIANS = ("wanda",)
_FLOAT = 4  # bytes
_MIB = 2**20


def print_memory() -> None:
    """Print what each method needs above the model's memory, each in a process of its own."""
    # Freed memory goes back at once, so that the peak is that of what was in use.
    environment = os.environ | {
        "MALLOC_MMAP_THRESHOLD_": "65536",
        "MALLOC_TRIM_THRESHOLD_": "65536",
    }
    for name in METHODS:
        command = [sys.executable, "-m", "benchmarks.interventions", "--memory-of", name]
        subprocess.run(command, env=environment, check=True)


def print_memory_of(name: str) -> None:
    """Print a method's peak resident memory above the model's, and the parts of its bound."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=2560,
        hidden_size=1024,
        intermediate_size=2816,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=4,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )
    tokenizer, data = LM.load(MODEL).tokenizer, testbed()
    longer_texts = tuple(" ".join(texts) for texts in batches(data.calibration, 4))
    data = dataclasses.replace(data, calibration=longer_texts)

    def random_lm() -> LM:
        return LM(LlamaForCausalLM(config).eval().requires_grad_(False), tokenizer)

    apply(make(name), random_lm(), data, KEY)  # what libraries allocate once
    gc.collect()
    lm = random_lm()
    with cost() as idle:
        pass
    with cost() as spent:
        apply(make(name), lm, data, KEY)
    above = (spent.peak_gib - idle.peak_gib) * 1024
    weights = _FLOAT * sum(weight.numel() for weight in blocks(lm.model)[0].parameters())
    tokens = sum(len(ids) for ids in tokenizer(list(data.calibration))["input_ids"])
    hidden = _FLOAT * tokens * config.hidden_size
    hessians = 0
    if name not in _WITHOUT_HESSIANS:
        hessians = _FLOAT * (3 * config.hidden_size**2 + config.intermediate_size**2)
    bound = (weights + hessians + hidden) / _MIB
    print(
        f"{name:10} {above:4.0f} MiB above the model; one block's weights {weights / _MIB:.0f}"
        f" + Hessians {hessians / _MIB:.0f} + activations of {tokens} tokens {hidden / _MIB:.0f}"
        f" = {bound:.0f} MiB",
        flush=True,
    )
