"""What the preset on fine-tuning edited models measures, against sums written out here."""

from analysis.report.hypotheses.presets.edits_and_training import finetuning_erases
from tests.analysis.report.hypotheses.presets.stores import assert_measured, drawn, of_criterion


def test_what_training_takes_is_compared_between_editors() -> None:
    preset = finetuning_erases()
    table = drawn(preset)
    edits = of_criterion(table, "edit_success")
    editors = ("ft", "memit", "lora", "alphaedit")
    lost = {name: edits[name] - edits[f"{name} | finetune"] for name in editors}
    most = [lost["alphaedit"] - lost[name] for name in editors[:3]]
    assert_measured(preset, table, [*((1, [lost[name]]) for name in editors), (2, most)])
