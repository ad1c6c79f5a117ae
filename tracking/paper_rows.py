"""Read the 311 rows of the paper's Tables 8 to 14: what was applied, and the numbers printed."""

from __future__ import annotations

import ast
import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracking import catalogue, schema

MODEL = "meta-llama/Meta-Llama-3-8B"
PRINTED_CRITERIA = (
    "edit_success",
    "edit_generalization",
    "edit_locality",
    "average_bits",
    "wmdp",
    "mmlu",
    "wikitext_ppl",
)
# sections 3 and C of the paper; the strength is in the row
_LAYERS, _CALIBRATION = [4, 5, 6, 7, 8], 128
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "ft": {"layers": _LAYERS, "steps": 25, "lr": 1e-5},
    "memit": {
        "layers": _LAYERS,
        "steps": 25,
        "lr": 0.5,
        "weight_decay": 1e-3,
        "kl_factor": 0.0625,
        "clamp": 4.0,
        "covariance": 15000.0,
        "samples": 100000,
    },
    "lora": {
        "rank": 8,
        "alpha": 32.0,
        "lr": 5e-3,
        "steps": 70,
        "targets": ["q_proj", "v_proj"],
        "dropout": 0.0,
        "adaptive": True,
    },
    "wanda": {"pattern": "unstructured", "samples": _CALIBRATION},
    "sparsegpt": {"pattern": "unstructured", "damp": 0.01, "samples": _CALIBRATION},
    "gptq": {
        "group": 128,
        "symmetric": True,
        "act_order": True,
        "damp": 0.01,
        "samples": _CALIBRATION,
    },
    "awq": {"group": 128, "symmetric": False, "samples": _CALIBRATION},
    "rmu": {"layer": 3, "steering": 20.0, "alpha": 1000.0, "steps": 250, "lr": 5e-5, "batch": 4},
    "ga": {"lr": 5e-5, "samples": 50, "last_layers": 16},
    "gd": {"lr": 5e-5, "samples": 50, "retain_weight": 40.0, "last_layers": 16},
}


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        table: its number in the paper.
        steps: the interventions as (name, level); the level is None where the paper has none.
        values: what is printed, by criterion.
    """

    table: int
    steps: tuple[tuple[str, float | None], ...]
    values: Mapping[str, float]

    def specs(self) -> list[str]:
        """Return each step as `Composition.parse` reads it on the profile "paper"."""
        return [
            name if level is None else f"{name}({_strength(name)}={level})"
            for name, level in self.steps
        ]

    def params(self) -> dict[str, str]:
        """Return the params that our own runs log, where the paper states their values."""
        names = [name for name, _ in self.steps]
        params = {
            schema.COMPOSITION: " | ".join(self.specs()) or "none",
            schema.PAIR: schema.pair_name(names),
            **schema.step_params(names),
            "model": MODEL,
            "data": "paper",
            "recompress": "paper",
        }
        for name, level in self.steps:
            if level is not None:
                params[f"{name}.{_strength(name)}"] = str(level)
            for key, value in SETTINGS[name].items():
                params[f"{name}.{key}"] = str(value)
        return params


def rows() -> list[Row]:
    """Return the 311 rows, in the paper's order.

    Example:
        >>> len(rows()), rows()[16].specs(), rows()[16].values["average_bits"]
        (311, ['gptq(bits=2)'], 2.25)
    """
    text = Path(__file__).with_name("published.csv").read_text()
    lines = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return [_row(line) for line in lines]


def _row(line: Mapping[str, str]) -> Row:
    steps = [
        (line[position], _level(line[f"{position}_level"]))
        for position in ("first", "second")
        if line[position]
    ]
    values = {name: float(line[name]) for name in PRINTED_CRITERIA}
    return Row(int(line["paper_table"]), tuple(steps), values)


def _strength(name: str) -> str | None:
    return catalogue.house_interventions()[name].strength


def _level(text: str) -> float | None:
    """Return a sparsity as a number, bits as an integer, None where the table has no level."""
    return ast.literal_eval(text) if text else None
