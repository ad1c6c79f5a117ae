"""A method of ours against a peer's, in one process of the peer's environment, on the testbed.

    python -m tests.peers.compare --backend gptqmodel --method gptq --bits 3 --group 64 --out a.json

Writes JSON: for ``own`` and ``peer`` the perplexity, the seconds (median; for the peer with writing
and loading its copy of the model), the relative error of every block's output on held-out text, and
whether the promised property holds; then the ratios own / peer.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TQDM_DISABLE"] = "1"
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

from interventions.anatomy import block_linears
from interventions.base import Intervention, make
from interventions.composition import apply
from interventions.criteria.perplexity import wikitext_ppl
from interventions.data.base import Data
from interventions.data.testbed import MODEL, testbed
from interventions.lm import LM

KEY = "fedcba9876543210" * 2
HELD_OUT = 32  # texts whose states are compared


def compare(method: str, backend: str, repeats: int, **settings: Any) -> dict[str, Any]:
    """Return the figures of both; the first run of each is timed only if ``repeats`` is 0."""
    data, base = testbed(), LM.load(MODEL)
    if (method, backend) == ("gptq", "llmcompressor"):
        settings |= {"static_groups": True, "true_sequential": False}  # it has nothing else
    steps = {
        side: make(method, backend=name, **settings)
        for side, name in (("own", "own"), ("peer", backend))
    }
    changed: dict[str, LM] = {}
    figures: dict[str, dict[str, Any]] = {}
    for side, step in steps.items():
        changed[side], seconds = _timed(step, data, repeats)
        lm = changed[side]
        figures[side] = {
            "wikitext_ppl": wikitext_ppl(lm, data).value,
            "seconds": statistics.median(seconds),
            "all_seconds": seconds,
            "block_errors": _block_errors(base, lm, data.test_text[:HELD_OUT]),
            "holds": step.holds(lm)
            and all(lm.grids[n].holds(w) for n, w in _weights(lm).items() if n in lm.grids),
            "sparsity": float(
                torch.cat([(w == 0).float().flatten() for w in _weights(lm).values()]).mean()
            ),
        }
    masks = [
        torch.cat([(w == 0).flatten() for w in _weights(changed[side]).values()])
        for side in ("own", "peer")
    ]
    return {
        "method": method,
        "backend": backend,
        "settings": steps["own"].params() | {"backend": backend},
        "base_ppl": wikitext_ppl(base, data).value,
        **figures,
        "ratio_ppl": figures["own"]["wikitext_ppl"] / figures["peer"]["wikitext_ppl"],
        "ratio_seconds": figures["own"]["seconds"] / figures["peer"]["seconds"],
        "ratio_error": figures["own"]["block_errors"][-1] / figures["peer"]["block_errors"][-1],
        "equal_mask": float((masks[0] == masks[1]).float().mean()),
    }


def _timed(step: Intervention, data: Data, repeats: int) -> tuple[LM, list[float]]:
    seconds = []
    for _ in range(repeats + 1):
        lm = LM.load(MODEL)
        start = time.perf_counter()
        lm = apply(step, lm, data, KEY)
        seconds.append(time.perf_counter() - start)
    return lm, seconds[1:] or seconds


def _weights(lm: LM) -> dict[str, torch.Tensor]:
    return {name: linear.weight for name, linear in block_linears(lm.model).items()}


def _block_errors(base: LM, changed: LM, texts: Sequence[str]) -> list[float]:
    """Return ||h' - h|| / ||h|| of every block's output, the last after the final norm."""
    encoded = base.encode(texts)
    real = encoded["attention_mask"].bool()
    with torch.inference_mode():
        both = [
            lm.model(**encoded, output_hidden_states=True).hidden_states[1:]
            for lm in (base, changed)
        ]
    return [float((b[real] - a[real]).norm() / a[real].norm()) for a, b in zip(*both, strict=True)]


def main() -> None:
    """Read the arguments, write the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backend", required=True)
    parser.add_argument("--method", required=True)
    parser.add_argument("--bits", type=int)
    parser.add_argument("--group", type=int)
    parser.add_argument("--sparsity", type=float)
    parser.add_argument("--repeats", type=int, default=3, help="timed runs")
    parser.add_argument("--out", type=Path, required=True)
    args = vars(parser.parse_args())
    out, threads = args.pop("out"), min(2, os.cpu_count() or 1)
    torch.set_num_threads(threads)
    options = {name: value for name, value in args.items() if value is not None}
    out.write_text(json.dumps(compare(**options) | {"threads": threads}, indent=1))


if __name__ == "__main__":
    main()
