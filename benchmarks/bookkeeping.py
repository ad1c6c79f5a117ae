"""What a run costs beside its steps and its criteria: `python -m benchmarks.bookkeeping`.

Pairs of processes go through the same compositions. One of them makes a tracked run of each, with
checkpoints stored, hashed, verified and logged. The other loads the model, applies the same steps
with the same seeds, and measures the same criteria. The difference is bookkeeping. Seconds of the
processor say more than those of the clock where other work shares the machine. Two hundred
compositions take a process some 25 minutes; with a core for each process, ``--together`` runs all
pairs at once, and ``--seconds`` ends each process before it is through: then the faster of a pair
has gone through a few more, and the seconds are per composition.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def spec(number: int) -> str:
    """Return a composition that shares no step with those of other numbers."""
    return f"magnitude(sparsity={0.2 + number / 1000:g}) | rtn(bits=8)"


def tracked(limit: int, policy: str) -> Callable[[str], None]:
    """Return what makes a tracked run of a composition."""
    from tracking.run import run

    def one(composition: str) -> None:
        run(composition, limit=limit, checkpoints=policy, recompress="never", device="cpu")

    return one


def bare(limit: int, policy: str) -> Callable[[str], None]:
    """Return what applies and measures a composition, and keeps nothing."""
    from interventions.composition import Composition, apply
    from interventions.criteria.base import measure
    from interventions.lm import LM
    from tracking.chain import Chain
    from tracking.checkpoints.store import Checkpoints
    from tracking.plan import RunContext
    from tracking.settings import Settings

    context = RunContext(Settings(limit=limit, recompress="never", device="cpu"))
    data = Chain(context.plan(Composition()), Checkpoints()).data  # with the base model's answers

    def one(composition: str) -> None:
        plan = context.plan(Composition.parse(composition))
        lm = LM.load(plan.source, plan.settings.dtype, plan.settings.device)
        for step, key in zip(plan.composition, plan.keys[1:], strict=True):
            lm = apply(step, lm, plan.data, key)
            measure(lm, data, [each.name for each in plan.criteria])

    return one


KINDS = {"tracked": tracked, "bare": bare}
CLOCKS = ("wall", "processor")


def time_here(
    kind: str, limit: int, policy: str, compositions: int, most_seconds: float
) -> tuple[float, float, int]:
    """Return what a composition takes, after one that is not counted.

    Returns:
        Seconds of the clock and of the processor per composition, and how many were gone through
        in ``most_seconds``.
    """
    import torch

    torch.set_num_threads(1)
    one = KINDS[kind](limit, policy)
    one(spec(0))  # measures the base model, and imports what is left
    wall, processor = time.perf_counter(), time.process_time()
    number = 0
    while number < compositions and time.perf_counter() - wall < most_seconds:
        number += 1
        one(spec(number))
    seconds = time.perf_counter() - wall, time.process_time() - processor
    return seconds[0] / number, seconds[1] / number, number


def time_kind(kind: str, options: argparse.Namespace) -> tuple[float, float, int]:
    """Return what ``time_here`` does, of a process with a store and cache of its own."""
    with tempfile.TemporaryDirectory() as folder:
        variables = {
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
            "COMPOSABILITY_CACHE": f"{folder}/cache",
            "HF_HUB_OFFLINE": "1",
            "TQDM_DISABLE": "1",
        }
        values = (options.limit, options.policy, options.compositions, options.seconds)
        process = subprocess.run(
            [sys.executable, "-m", "benchmarks.bookkeeping", "--part", kind, *map(str, values)],
            cwd=ROOT,
            env=os.environ | variables,
            capture_output=True,
            text=True,
        )
        if process.returncode:
            raise RuntimeError(process.stderr[-2000:])
        wall, processor, number = json.loads(process.stdout.splitlines()[-1])
    return wall, processor, number


def time_pair(pair: int, options: argparse.Namespace) -> dict[str, float]:
    """Print what both processes of a pair took; return the share of bookkeeping by clock."""
    # which of the two comes first alternates: the load of the machine comes and goes
    order = list(KINDS) if pair % 2 == 0 else list(KINDS)[::-1]
    with ThreadPoolExecutor(len(order) if options.together else 1) as pool:
        took = dict(zip(order, pool.map(lambda kind: time_kind(kind, options), order), strict=True))
    shares = {}
    for index, clock in enumerate(CLOCKS):
        with_tracking, without = took["tracked"][index], took["bare"][index]
        shares[clock] = 1 - without / with_tracking
        print(
            f"pair {pair}: {with_tracking:.3f} s ({clock}) per composition of"
            f" {took['tracked'][2]}, bare {without:.3f} s of {took['bare'][2]},"
            f" bookkeeping {shares[clock]:.1%}",
            flush=True,
        )
    return shares


def main() -> None:
    """Print each pair, and the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compositions", type=int, default=200, help="of each process")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--limit", type=int, default=0, help="items of each criterion; 0: all")
    parser.add_argument("--policy", default="none", help="whose checkpoints are logged")
    parser.add_argument("--seconds", type=float, default=1e9, help="after which a process ends")
    parser.add_argument("--together", action="store_true", help="all processes at once")
    parser.add_argument("--part", nargs=5, help="used by the program itself")
    options = parser.parse_args()
    if min(options.compositions, options.seconds, options.pairs) <= 0:
        parser.error("--compositions, --pairs and --seconds must be over 0")
    if options.part:
        kind, limit, policy, compositions, most = options.part
        print(json.dumps(time_here(kind, int(limit), policy, int(compositions), float(most))))
        return
    with ThreadPoolExecutor(options.pairs if options.together else 1) as pool:
        shares = list(pool.map(lambda pair: time_pair(pair, options), range(options.pairs)))
    for clock in CLOCKS:
        values = [share[clock] for share in shares]
        print(
            f"bookkeeping, {clock}: {statistics.median(values):.1%} (median of {len(values)},"
            f" {min(values):.1%} to {max(values):.1%})"
        )


if __name__ == "__main__":
    main()
