"""What the preset on unlearning sparse models measures, against sums written out here."""

from analysis.report.hypotheses.presets.sparse_models import unlearning_sparse
from tests.analysis.report.hypotheses.presets.stores import assert_measured, drawn, of_criterion


def test_more_is_left_on_a_sparse_model_and_less_was_taken_from_it() -> None:
    preset = unlearning_sparse()
    table = drawn(preset)
    wmdp = of_criterion(table, "wmdp")
    half, more = "wanda(sparsity=0.5)", "wanda(sparsity=0.65)"
    expected = []
    for name in ("rmu", "gd", "npo"):
        sparse = (wmdp[f"{half} | {name}"] + wmdp[f"{more} | {name}"]) / 2
        from_sparse = (wmdp[half] + wmdp[more]) / 2 - sparse
        of_whole = wmdp["none"] - wmdp[name]
        expected.append((1, [sparse - wmdp[name], of_whole - from_sparse]))
    assert_measured(preset, table, expected)
