"""Every intervention against what a user would take instead: `python -m benchmarks.interventions [--repeats 3]`.

One process, the testbed's model and data, medians. Where a maintained library runs on a CPU it is the peer (in an
environment of its own, which the first call makes; ``--no-peers`` leaves it out); elsewhere the peer is the published
algorithm as its authors' code runs it: one edit, one text or one layer at a time, with full forward passes.
``--memory`` prints instead what compression needs beside the model itself, on a larger random model.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("COMPOSABILITY_CACHE", tempfile.mkdtemp(prefix="composability-benchmark-"))

import torch
from torch import Tensor
from torch.nn.utils import prune
from transformers import LlamaConfig, LlamaForCausalLM

from interventions.anatomy import block_linears, blocks, down_projection
from interventions.base import Intervention, make
from interventions.composition import apply, digest
from interventions.compression.quantization import fit
from interventions.criteria.cost import cost
from interventions.data.base import Data, Edit
from interventions.data.testbed import MODEL, testbed
from interventions.editing.memit import MEMIT
from interventions.lm import LM, batches
from interventions.unlearning.ga import last_weights
from interventions.unlearning.gd import GD
from interventions.unlearning.rmu import RMU

ROOT = Path(__file__).resolve().parents[1]
KEY = digest("benchmark")
Method = Callable[[LM, Data], object]


def ours(step: Intervention) -> Method:
    """The intervention as a run applies it."""
    return lambda lm, data: apply(step, lm, data, KEY)


def one_edit_at_a_time(step: Intervention) -> Method:
    """As many edits, each by itself with all its steps, as editors written for one fact are used on many."""

    def method(lm: LM, data: Data) -> None:
        for edit in data.edits:
            lm = apply(step, lm, dataclasses.replace(data, edits=(edit,)), KEY)

    return method


class OneByOne(MEMIT, category="editing"):
    """MEMIT with every target by a loop of its own, as in Meng et al.'s code (2023); keys and closed form as ours."""

    def targets(self, lm: LM, edits: Sequence[Edit], prefixes: Sequence[str] = ("",)) -> Tensor:
        """As MEMIT's."""
        return torch.cat([super(OneByOne, self).targets(lm, [edit], prefixes) for edit in edits])


def text_by_text(step: GD, retain: bool) -> Method:
    """GA and GD with every text of a step in a pass of its own, gradients added up."""

    def method(lm: LM, data: Data) -> None:
        weights = last_weights(lm, step.last_layers)
        optimizer = torch.optim.AdamW(weights, lr=step.lr, weight_decay=0.0)
        kept = cycle(data.retain)
        for texts in batches(data.forget[: step.samples], step.batch):
            optimizer.zero_grad()
            signed = [(-1.0 / len(texts), text) for text in texts]
            if retain:
                some = islice(kept, step.retain_batch)
                signed += [(step.retain_weight / step.retain_batch, text) for text in some]
            for sign, text in signed:
                ids = lm.encode([text], step.max_tokens)["input_ids"]
                (sign * lm.model(ids, labels=ids).loss).backward()
            optimizer.step()

    return method


def rmu_with_a_second_model(lm: LM, data: Data) -> None:
    """Li et al.'s code: a frozen copy of the model, full forward passes, activations caught by hooks."""
    step = make("rmu")
    assert isinstance(step, RMU)
    frozen = copy.deepcopy(lm.model)
    weights = [
        down_projection(blocks(lm.model)[i]).weight for i in range(step.layer - 2, step.layer + 1)
    ]
    for weight in weights:
        weight.requires_grad_(True)
    optimizer = torch.optim.AdamW(weights, lr=step.lr)
    direction = torch.rand(1, 1, lm.model.config.hidden_size)
    target = step.steering * direction / direction.norm()
    forget, retain = cycle(data.forget), cycle(data.retain)

    def activations(model: torch.nn.Module, texts: list[str], grad: bool) -> Tensor:
        caught: list[Tensor] = []
        handle = blocks(model)[step.layer].register_forward_hook(
            lambda m, a, out: caught.append(out)
        )
        with torch.set_grad_enabled(grad):
            model(**lm.encode(texts, step.max_tokens))
        handle.remove()
        return caught[0]

    for _ in range(step.steps):
        hazardous, kept = list(islice(forget, step.batch)), list(islice(retain, step.batch))
        away = (activations(lm.model, hazardous, True) - target).square().mean()
        still = (
            (activations(lm.model, kept, True) - activations(frozen, kept, False)).square().mean()
        )
        optimizer.zero_grad()
        (away + step.alpha * still).backward()
        optimizer.step()


def magnitude_by_torch(lm: LM, data: Data) -> None:
    """Pruning by torch.nn.utils.prune, layer by layer."""
    for linear in block_linears(lm.model).values():
        prune.l1_unstructured(linear, "weight", amount=0.5)
        prune.remove(linear, "weight")


def rtn_by_torch(lm: LM, data: Data) -> None:
    """The fake quantization, layer by layer, with a row's groups as its channels."""
    for linear in block_linears(lm.model).values():
        weight = linear.weight.unflatten(1, (-1, 128)).flatten(0, 1)
        grid = fit(weight, 3, -1, symmetric=False)
        rounded = torch.fake_quantize_per_channel_affine(
            weight, grid.scale[:, 0], grid.zero[:, 0].float(), 0, 0, 7
        )
        linear.weight.copy_(rounded.view_as(linear.weight))


HERE: dict[str, tuple[Method, Method, str]] = {
    "ft": (ours(make("ft")), one_edit_at_a_time(make("ft")), "one edit at a time"),
    "lora": (ours(make("lora")), one_edit_at_a_time(make("lora")), "peft, one edit at a time"),
    "memit": (ours(make("memit")), ours(OneByOne()), "one target at a time"),
    "magnitude": (ours(make("magnitude")), magnitude_by_torch, "torch.nn.utils.prune"),
    "rtn": (ours(make("rtn")), rtn_by_torch, "torch fake quantization"),
    "ga": (
        ours(make("ga")),
        text_by_text(GD(lr=3e-4, samples=160), retain=False),
        "one text at a time",
    ),
    "gd": (ours(make("gd")), text_by_text(GD(), retain=True), "one text at a time"),
    "rmu": (ours(make("rmu")), rmu_with_a_second_model, "full passes, second model"),
}
PEERS = (
    ("wanda", "llmcompressor"),
    ("sparsegpt", "llmcompressor"),
    ("gptq", "llmcompressor"),
    ("gptq", "gptqmodel"),
    ("awq", "llmcompressor"),
    ("awq", "autoawq"),
)


def seconds(method: Method, data: Data) -> float:
    """Of one application to a fresh model."""
    lm = LM.load(MODEL)
    start = time.perf_counter()
    method(lm, data)
    return time.perf_counter() - start


def here(repeats: int) -> None:
    """Print the methods whose peer runs in this environment, in turn with it."""
    data = testbed()
    apply(make("memit"), LM.load(MODEL), data, KEY)  # its second moments are kept between runs
    for name, (method, peer, what) in HERE.items():
        pairs = [(seconds(method, data), seconds(peer, data)) for _ in range(repeats)]
        show(name, what, *(statistics.median(times) for times in zip(*pairs, strict=True)))


def elsewhere(repeats: int) -> None:
    """Print the methods whose peer has an environment of its own; there both run in one process."""
    from tests.peers import environment

    for name, backend in PEERS:
        python = environment(backend)
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "result.json"
            command = [
                python,
                "-m",
                "tests.peers.compare",
                "--backend",
                backend,
                "--method",
                name,
                "--out",
                str(out),
            ]
            if backend == "autoawq":
                command += ["--bits", "4"]  # the only width that it has
            subprocess.run(
                [*map(str, command), "--repeats", str(repeats)],
                cwd=ROOT,
                check=True,
                capture_output=True,
            )
            found = json.loads(out.read_text())
        show(name, backend, found["own"]["seconds"], found["peer"]["seconds"])


def show(name: str, peer: str, ours: float, theirs: float) -> None:
    """One line."""
    print(
        f"{name:10} {ours:7.2f} s   {peer:28} {theirs:7.2f} s   {theirs / ours:6.1f} x", flush=True
    )


def memory() -> None:
    """Print what block-wise compression needs above the model's own memory, each method in a process of its own."""
    # freed memory goes back at once, so that the peak is that of what was in use
    environment = os.environ | {
        "MALLOC_MMAP_THRESHOLD_": "65536",
        "MALLOC_TRIM_THRESHOLD_": "65536",
    }
    for name in ("wanda", "sparsegpt", "gptq", "awq"):
        subprocess.run(
            [sys.executable, "-m", "benchmarks.interventions", "--memory-of", name],
            env=environment,
            check=True,
        )


def memory_of(name: str) -> None:
    """The peak resident memory above the model's, on a random model, and what the parts of the bound add up to."""
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
    data = dataclasses.replace(
        data, calibration=tuple(" ".join(some) for some in batches(data.calibration, 4))
    )

    def random_lm() -> LM:
        return LM(LlamaForCausalLM(config).eval().requires_grad_(False), tokenizer)

    apply(make(name), random_lm(), data, KEY)  # what libraries allocate once
    gc.collect()
    lm = random_lm()
    weights = 4 * sum(p.numel() for p in blocks(lm.model)[0].parameters())
    tokens = sum(len(ids) for ids in tokenizer(list(data.calibration))["input_ids"])
    hessians = (
        0 if name == "wanda" else 4 * (3 * config.hidden_size**2 + config.intermediate_size**2)
    )
    hidden = 4 * tokens * config.hidden_size
    with cost() as idle:
        pass
    with cost() as spent:
        apply(make(name), lm, data, KEY)
    above, mib = (spent.peak_gib - idle.peak_gib) * 1024, 2**20
    print(
        f"{name:10} {above:4.0f} MiB above the model; one block's weights {weights / mib:.0f} + Hessians"
        f" {hessians / mib:.0f} + activations of {tokens} tokens {hidden / mib:.0f}"
        f" = {(weights + hessians + hidden) / mib:.0f} MiB",
        flush=True,
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.memory_of:
        return memory_of(args.memory_of)
    if args.memory:
        return memory()
    here(args.repeats)
    if not args.no_peers:
        elsewhere(args.repeats)


if __name__ == "__main__":
    main()
