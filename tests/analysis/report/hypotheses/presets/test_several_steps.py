"""What the presets of several steps measure, against sums written out here."""

import numpy as np
import pandas as pd

from analysis.report.hypotheses.contrasts import CellValues
from analysis.report.hypotheses.parts import ANY
from analysis.report.hypotheses.presets.several_steps import merging_or_sequence, three_orders
from tests.analysis.report.hypotheses.presets.stores import assert_measured, drawn, of_criterion

WANDA = "wanda(sparsity=0.65)"
ORDERS = (
    f"ft | rmu | {WANDA}",
    f"ft | {WANDA} | rmu",
    f"rmu | ft | {WANDA}",
    f"rmu | {WANDA} | ft",
    f"{WANDA} | ft | rmu",
    f"{WANDA} | rmu | ft",
)


def overall(table: pd.DataFrame, cell: str) -> pd.Series:
    values = table[cell]
    return (values.edit_success + (1 - values.wmdp) + values.mmlu) / 3


def test_a_merge_must_be_better_than_either_sequence() -> None:
    preset = merging_or_sequence()
    table = drawn(preset)
    sequences = [overall(table, cell) for cell in ("lora | rmu", "rmu | lora")]
    merged = [overall(table, f"merge(lora, rmu{how})") for how in ("", ", how='ties'")]
    expected = [(1, [mean - sequence for sequence in sequences]) for mean in merged]
    assert_measured(preset, table, expected)


def test_orders_are_compared_with_their_mean_first_with_last_and_the_best_with_the_others() -> None:
    preset = three_orders()
    table = drawn(preset)
    edits, forgotten, general = (
        of_criterion(table, name)[list(ORDERS)] for name in ("edit_success", "wmdp", "mmlu")
    )
    first, second, third, fourth, fifth, sixth = ORDERS
    best, *rivals = sorted(
        (overall(table, order) for order in ORDERS), key=lambda mean: -mean.mean()
    )
    expected = [
        *(
            (number, [columns[order] - columns.mean(axis=1) for order in ORDERS])
            for number, columns in enumerate((edits, forgotten, general), start=1)
        ),
        (4, [(edits[fourth] + edits[sixth] - edits[first] - edits[second]) / 2]),
        (4, [(forgotten[third] + forgotten[fourth] - forgotten[second] - forgotten[fifth]) / 2]),
        (5, [best - rival for rival in rivals]),
    ]
    assert_measured(preset, table, expected)
    assert [part.needs == ANY for part in preset.parts] == [True] * 3 + [False] * 3
    claims = [part.claim for part in preset.parts[3:5]]
    assert claims == [
        "the edit last rather than first leaves more edit success",
        "unlearning last rather than first leaves less WMDP",
    ]


def test_notes_name_the_ends_and_the_best_two() -> None:
    preset = three_orders()
    table = drawn(preset)
    for number, order in enumerate(ORDERS):
        table.loc[:, order] = np.tile([0.3 + 0.1 * number, 0.5, 0.5], (len(table), 1))
    notes = [part.note(CellValues(table)) for part in preset.parts if part.note]
    assert notes[0] == f"highest 0.80: {ORDERS[5]}; lowest 0.30: {ORDERS[0]}"
    assert notes[3] == f"best on average: {ORDERS[5]}; second: {ORDERS[4]}"
