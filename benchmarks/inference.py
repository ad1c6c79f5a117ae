"""How often the report's tests and intervals are wrong: `python -m benchmarks.inference`.

Pairs with a known difference are made up (`benchmarks.null_pairs`), 2,000 in each cell of batches
1 to 10, seeds 1 to 3, run noise 0, .03 and .06, and items that are nested in batches or crossed
with them, also where nearly all answers are right. They go through the functions by which
`analysis.inference.intervals` computes its columns. The tables are those of
docs/explanation/statistics.md.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd

from analysis.inference.moments import moments_of_scores, of_one_order
from analysis.inference.procedures import FEWEST_UNITS, Moments, estimate
from benchmarks.inference_families import best_rates, grid_rates, sweep_rates
from benchmarks.null_pairs import KINDS, Cell, scores, true_values

CONFIDENCE = 0.95
BATCHES, SEEDS, NOISES, GAINS = range(1, 11), (1, 2, 3), (0.0, 0.03, 0.06), (0.05, 0.10)
FAMILY_BATCHES = (3, 5, 10)


def simulate(cell: Cell, seed: int = 0) -> dict[str, float]:
    """Return in percent how often a test rejects and an interval holds the truth.

    Args:
        cell: what to make up.
        seed: of the random numbers, with the cell's own.

    Returns:
        ``rejects``: p <= .05; ``claims``: the same by the p of claims; ``tested``: a test is
        allowed; ``unfounded``: of those with fewer than three units or units that tie, a claim;
        ``gain, sensitivity, error``: coverage of the intervals.
    """
    rng = np.random.default_rng([seed, cell.batches, cell.seeds, int(100 * cell.noise)])
    forward, backward = scores(cell, rng)
    moments = moments_of_scores(forward - backward, cell.crossed)
    estimates = estimate(moments, CONFIDENCE)
    truth = true_values(cell, rng)
    gain = truth[0] - truth[1]
    low, high = estimates.low, estimates.high
    holds_zero = (low <= 0) & (high >= 0)
    nearer = np.where(holds_zero, 0, np.minimum(np.abs(low), np.abs(high)))
    farther = np.maximum(np.abs(low), np.abs(high))
    errors = [estimate(of_one_order(_of_values(x, cell)), CONFIDENCE) for x in (forward, backward)]
    error_low = np.minimum(*(0.5 - each.high for each in errors))
    error_high = np.minimum(*(0.5 - each.low for each in errors))
    may_claim = (moments.units >= FEWEST_UNITS) & moments.has_spread()
    rates = {
        "rejects": estimates.p <= 1 - CONFIDENCE,
        "claims": estimates.p_claim <= 1 - CONFIDENCE,
        "tested": ~np.isnan(estimates.p),
        "unfounded": (estimates.p_claim <= 1) & ~may_claim,
        "gain": (low <= gain) & (high >= gain),
        "sensitivity": (nearer <= abs(gain)) & (farther >= abs(gain)),
        "error": (error_low <= 1 - max(truth)) & (error_high >= 1 - max(truth)),
    }
    return {name: 100 * float(np.mean(held)) for name, held in rates.items()}


def _of_values(values: np.ndarray, cell: Cell) -> Moments:
    return moments_of_scores(values - 0.5, cell.crossed)


def cells(kinds: Iterable[str] = KINDS, pairs: int = 2000) -> list[Cell]:
    """Return the null cells: batches x seeds x noise x kinds."""
    grid = itertools.product(BATCHES, SEEDS, NOISES, kinds)
    return [Cell(*settings, pairs=pairs) for settings in grid]


def null_table(pairs: int = 2000) -> pd.DataFrame:
    """Return a row per null cell: its settings and what ``simulate`` measured."""
    rows = []
    for cell in cells(pairs=pairs):
        rows.append({**vars(cell), **simulate(cell)})
    return pd.DataFrame(rows)


def power_table(pairs: int = 2000) -> pd.DataFrame:
    """Return a row per cell with a gain: how often it is shown, and the coverage."""
    rows = []
    for cell, gain in itertools.product(cells(("nested", "crossed"), pairs), GAINS):
        moved = replace(cell, gain=gain)
        settings = {**vars(moved), "true_gain": gain}
        rows.append({**settings, **simulate(moved, seed=1)})
    return pd.DataFrame(rows)


def _three(table: pd.DataFrame, column: str) -> str:
    """Return the least of a column over seeds, at the three noises: ``94.8 / 95.1 / 94.0``."""
    least = table.groupby("noise")[column].min()
    return " / ".join(f"{value:.1f}" for value in least)


def _ranges(table: pd.DataFrame, column: str) -> str:
    """Return the range of a column over seeds, at the three noises: ``4.8–5.1 / 4.2–6.0 / 0``."""
    texts = []
    for _, rates in table.groupby("noise")[column]:
        low, high = rates.min(), rates.max()
        texts.append(f"{low:.1f}–{high:.1f}" if high > 0 else "0")
    return " / ".join(texts)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=2000, help="of each cell")
    pairs = parser.parse_args().pairs
    start = time.perf_counter()
    null, powers = null_table(pairs), power_table(pairs)
    print(f"{pairs} pairs in each of {len(null)} null cells; in percent, at noise 0 / .03 / .06.")
    print("False positives are from the least to the most over 1 to 3 seeds; coverage and power")
    print("the least.\n")
    for kind in KINDS:
        _print_kind(kind, null[null.kind == kind], powers[powers.kind == kind])
    _print_families()
    print(f"{time.perf_counter() - start:.0f} s")


def _print_kind(kind: str, null: pd.DataFrame, powers: pd.DataFrame) -> None:
    header = ["batches", "false positives", "by the p of claims", "coverage: gain", "its size"]
    header += ["order-free error", *(f"power: gain {gain:g}" for gain in GAINS if len(powers))]
    print(f"### {kind.capitalize()}\n\n| {' | '.join(header)} |\n|{'---|' * len(header)}")
    for batches, rows in null.groupby("batches"):
        cells_of_row = [str(batches), _ranges(rows, "rejects"), _ranges(rows, "claims")]
        cells_of_row += [_three(rows, name) for name in ("gain", "sensitivity", "error")]
        for _, moved in powers[powers.batches == batches].groupby("true_gain"):
            cells_of_row.append(_three(moved, "rejects"))
        print(f"| {' | '.join(cells_of_row)} |")
    print()


def _print_families() -> None:
    print("### Several points at once\n")
    print("| | " + " | ".join(f"{batches} batches" for batches in FAMILY_BATCHES) + " |")
    print("|---|" + "---|" * len(FAMILY_BATCHES))
    rows: dict[str, list[str]] = {}
    for batches in FAMILY_BATCHES:
        for kind, gain in itertools.product(("nested", "crossed"), (0.0, 0.1)):
            rates = [sweep_rates(batches, noise, kind == "crossed", gain) for noise in NOISES]
            for name in rates[0]:
                if gain and name == "some level":
                    continue
                text = " / ".join(f"{each[name]:.1f}" for each in rates)
                rows.setdefault(f"{kind}, true size {gain:g}: {name}", []).append(text)
        for kind in KINDS:
            rates_of_grid = grid_rates(batches, kind)
            text = " / ".join(f"{rate:.1f}" for rate in rates_of_grid.values())
            rows.setdefault(f"grids of 300, {kind}: any claim / any in a list", []).append(text)
        for methods in (2, 5):
            rates_of_best = best_rates(batches, methods)
            text = " / ".join(f"{rate:.1f}" for rate in rates_of_best.values())
            rows.setdefault(f"best of {methods} equal methods: error / sensitivity", []).append(
                text
            )
    for name, texts in rows.items():
        print(f"| {name} | {' | '.join(texts)} |")
    print()


if __name__ == "__main__":
    main()
