"""Every intervention against what a user would take instead: `python -m benchmarks.interventions`.

One process, the testbed's model and data, medians of ``--repeats``. Where a maintained library runs
on a CPU it is the peer (in an environment of its own, which the first call makes; ``--no-peers``
leaves it out); elsewhere the peer is the published algorithm as its authors' code runs it.
``--memory`` prints instead what compression needs beside the model itself.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

# Before torch and the project are imported, which read them.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("COMPOSABILITY_CACHE", tempfile.mkdtemp(prefix="composability-benchmark-"))

from benchmarks.memory import print_memory, print_memory_of
from benchmarks.published_methods import (
    KEY,
    Method,
    OneTargetAtATime,
    magnitude_by_torch,
    one_edit_at_a_time,
    rmu_with_a_second_model,
    rtn_by_torch,
    text_by_text,
)
from interventions.base import Intervention, make
from interventions.composition import apply
from interventions.data.base import Data
from interventions.data.testbed import MODEL, testbed
from interventions.lm import LM
from interventions.unlearning.gd import GD

ROOT = Path(__file__).resolve().parents[1]


def ours(step: Intervention) -> Method:
    """Return the intervention as a run applies it."""
    return lambda lm, data: apply(step, lm, data, KEY)


# name: ours, the published algorithm, and what that does differently
PUBLISHED: dict[str, tuple[Method, Method, str]] = {
    "ft": (ours(make("ft")), one_edit_at_a_time(make("ft")), "one edit at a time"),
    "lora": (ours(make("lora")), one_edit_at_a_time(make("lora")), "peft, one edit at a time"),
    "memit": (ours(make("memit")), ours(OneTargetAtATime()), "one target at a time"),
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
# name, library
LIBRARIES = (
    ("wanda", "llmcompressor"),
    ("sparsegpt", "llmcompressor"),
    ("gptq", "llmcompressor"),
    ("gptq", "gptqmodel"),
    ("awq", "llmcompressor"),
    ("awq", "autoawq"),
)


def seconds(method: Method, data: Data) -> float:
    """Return the seconds of one application to a fresh model."""
    lm = LM.load(MODEL)
    start = time.perf_counter()
    method(lm, data)
    return time.perf_counter() - start


def compare_with_published(repeats: int) -> None:
    """Print ours and the published algorithms, which run in turn in this process."""
    data = testbed()
    # Second moments are computed once and kept between runs.
    apply(make("memit"), LM.load(MODEL), data, KEY)
    for name, (method, peer, difference) in PUBLISHED.items():
        pairs = [(seconds(method, data), seconds(peer, data)) for _ in range(repeats)]
        medians = [statistics.median(times) for times in zip(*pairs, strict=True)]
        show(name, difference, *medians)


def compare_with_libraries(repeats: int) -> None:
    """Print ours and the libraries, which run in turn in an environment of each library's own."""
    from tests.peers import environment

    for name, library in LIBRARIES:
        python = environment(library)
        with tempfile.TemporaryDirectory() as folder:
            result = Path(folder) / "result.json"
            command = [str(python), "-m", "tests.peers.compare", "--backend", library]
            command += ["--method", name, "--out", str(result), "--repeats", str(repeats)]
            if library == "autoawq":
                command += ["--bits", "4"]  # the only width that it has
            subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
            timings = json.loads(result.read_text())
        show(name, library, timings["own"]["seconds"], timings["peer"]["seconds"])


def show(name: str, peer: str, our_seconds: float, peer_seconds: float) -> None:
    """Print one line."""
    ratio = peer_seconds / our_seconds
    print(
        f"{name:10} {our_seconds:7.2f} s   {peer:28} {peer_seconds:7.2f} s   {ratio:6.1f} x",
        flush=True,
    )


def main() -> None:
    """Read the command line and print what it names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        return print_memory_of(options.memory_of)
    if options.memory:
        return print_memory()
    compare_with_published(options.repeats)
    if not options.no_peers:
        compare_with_libraries(options.repeats)


if __name__ == "__main__":
    main()
