"""Tables of what steps did to items, of what comes back, and of merges."""

from typing import Any

import numpy as np
import pandas as pd

from analysis.labels import Labels
from analysis.report.extra_blocks import changes_block, merges_block, restored_block
from tests.analysis.report.block_texts import linked_runs, rows_of
from tracking.catalogue import Catalogue

TITLES = Labels(Catalogue())


def changes(**columns: Any) -> dict[str, Any]:
    return {
        "context": "a", "strength": "wanda.sparsity", "level": 0.25, "order": "ft → wanda",
        "criterion": "mmlu", "step": 2.0, "applied": "wanda", "kept": 1.26, "lost": 2.34,
        "gained": 3.45, "wrong": 4.56, "items": 40.4, "runs": 3.0, **columns,
    }  # fmt: skip


def test_a_step_has_what_it_kept_lost_and_gained() -> None:
    without_level = changes(strength="", level=np.nan, order="rmu → ft", step=1.0, applied="rmu")
    block = changes_block(pd.DataFrame([changes(), without_level]), TITLES)
    numbers = ["1.3", "2.3", "3.5", "4.6", "40", "3"]
    assert rows_of(block) == {
        "FT → Wanda at sparsity 0.25": ["MMLU ↑", "2: Wanda", *numbers],
        "RMU → FT": ["MMLU ↑", "1: RMU", *numbers],
    }
    columns = ["Criterion", "Step", "Kept", "Lost", "Gained", "Wrong before and after"]
    assert list(block.values) == [*columns, "Items", "Runs"]
    assert linked_runs(block) == [[None] * 8] * 2


def test_changes_in_two_contexts_name_them() -> None:
    block = changes_block(pd.DataFrame([changes(), changes(context="b")]), TITLES)
    assert list(rows_of(block)) == [
        "FT → Wanda at sparsity 0.25; a",
        "FT → Wanda at sparsity 0.25; b",
    ]


def restored(**columns: Any) -> dict[str, Any]:
    return {
        "context": "a", "unlearning": "rmu", "unlearning_variant": "steps=5", "then": "awq",
        "then_variant": "", "strength": "awq.bits", "level": 4.0, "criterion": "wmdp",
        "base": 0.6125, "unlearned": 0.2571, "after": 0.3013, "restored": 0.1246, "low": 0.0312,
        "high": 0.2188, "replicates": 5, **columns,
    }  # fmt: skip


def test_what_comes_back_has_the_values_that_it_is_a_share_of() -> None:
    without = restored(strength="", level=np.nan, then="ft", high=np.nan)
    block = restored_block(pd.DataFrame([restored(), without]), TITLES)
    numbers = ["WMDP ↓", "0.613", "0.257", "0.301", "0.12"]
    assert rows_of(block) == {
        "RMU (steps=5), then AWQ at 4 bits": [*numbers, "0.031 to 0.219", "5"],
        "RMU (steps=5), then FT": [*numbers, "–", "5"],
    }
    assert block is not None
    columns = ["Criterion", "Base model", "Unlearned", "After both", "Restored", "95% interval"]
    assert list(block.values) == [*columns, "Replicates"]
    assert restored_block(None, TITLES) is None


def test_what_comes_back_in_two_contexts_names_them() -> None:
    frame = pd.DataFrame([restored(), restored(context="b", strength="", level=np.nan)])
    assert list(rows_of(restored_block(frame, TITLES))) == [
        "RMU (steps=5), then AWQ at 4 bits; a",
        "RMU (steps=5), then AWQ; b",
    ]


def merge(**columns: Any) -> dict[str, Any]:
    return {
        "context": "a", "about": True, "way": "merge(how='ties')", "intervention": "lora",
        "partner": "wanda", "strength": "wanda.sparsity", "level": 0.5, "criterion": "mmlu",
        "merged": 0.7015, "forward": 0.6011, "forward_gain": 0.1004, "forward_gain_low": 0.0501,
        "forward_gain_high": 0.1509, "forward_p_holm": 0.0123, "forward_differs": True,
        "forward_runs": ("1", "2"), "backward": 0.8018, "backward_gain": -0.1003,
        "backward_gain_low": -0.1505, "backward_gain_high": -0.0508, "backward_p_holm": 0.0456,
        "backward_differs": True, "backward_runs": ("3",), **columns,
    }  # fmt: skip


FORWARD = ["LoRA → Wanda", "0.601", "0.702", "0.100", "0.050 to 0.151", "0.012"]
BACKWARD = ["Wanda → LoRA", "0.802", "0.702", "-0.100", "-0.150 to -0.051", "0.046"]


def test_a_merge_is_compared_with_both_orders() -> None:
    block = merges_block(pd.DataFrame([merge(), merge(about=False)]), TITLES)
    assert block is not None
    label = "merge(how='ties') of LoRA + Wanda at sparsity 0.5"
    assert list(block.values.index) == [label] * 2
    assert block.values.to_numpy().tolist() == [
        ["MMLU ↑", *FORWARD, "merge better"],
        ["MMLU ↑", *BACKWARD, "order better"],
    ]
    columns = ["Criterion", "Order", "After the order", "Merged", "Merge better by", "95% interval"]
    assert list(block.values) == [*columns, "p (Holm)", "A test says"]
    assert not block.best.to_numpy().any()
    assert linked_runs(block) == [[("1", "2")] * 8, [("3",)] * 8]


def test_an_order_that_was_not_run_has_no_row_and_an_unsure_gain_no_verdict() -> None:
    unsure = merge(strength="", level=np.nan, forward=np.nan, backward_differs=False)
    block = merges_block(pd.DataFrame([unsure]), TITLES)
    assert rows_of(block) == {
        "merge(how='ties') of LoRA + Wanda": ["MMLU ↑", *BACKWARD, "cannot be told"]
    }


def test_merges_in_two_contexts_name_them() -> None:
    frame = pd.DataFrame([merge(forward=np.nan), merge(context="b", forward=np.nan)])
    label = "merge(how='ties') of LoRA + Wanda at sparsity 0.5"
    assert list(rows_of(merges_block(frame, TITLES))) == [f"{label}; a", f"{label}; b"]


def test_there_is_no_table_of_merges_that_judge_nothing() -> None:
    assert merges_block(None, TITLES) is None
    assert merges_block(pd.DataFrame([merge(about=False)]), TITLES) is None
