"""The subject's last token, wherever in the prompt the subject stands."""

import dataclasses

import pytest
import torch

from interventions.data.base import Edit
from interventions.editing.memit import MEMIT
from interventions.lm import LM
from tests.interventions.editing.reference import Reference


@pytest.mark.parametrize(
    "prompt",
    [
        "Question: How does {} earn a living?\nAnswer:",
        "{} works for",
        "The employer of {} is",
        "Who employs {}?",
        "In the morning, {}, who waited by the river, slept near",
        "The mill belongs to {}",
    ],
)
def test_the_state_is_taken_at_the_subjects_last_token(
    lm: LM, edits: tuple[Edit, ...], reference: Reference, prompt: str
) -> None:
    """With one step nothing is optimized: the targets are the states of a plain pass."""
    prompted = [dataclasses.replace(edit, prompt=prompt.format(edit.subject)) for edit in edits[:6]]
    ours = MEMIT(layers=(1,), steps=1).targets(lm, prompted)
    behind = MEMIT(layers=(1,), steps=1).targets(
        lm, prompted, ["", f"The guard left {edits[0].subject}. "]
    )
    assert torch.allclose(ours, behind, atol=1e-4)  # h_i is that of the bare prompt
    for edit, h in zip(prompted, ours, strict=True):
        with torch.no_grad():
            hidden = reference.run(edit.prompt, 1)[2]
        assert (hidden - h.double()).abs().amax(1).argmin() == reference.subject_end("", edit)
        torch.testing.assert_close(
            h.double(), hidden[reference.subject_end("", edit)], atol=1e-3, rtol=1e-5
        )
