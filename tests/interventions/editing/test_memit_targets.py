"""MEMIT's targets, equation 16, with the terms of ROME, equation 4.

The references are written from the papers' equations, in float64: Meng et al. 2023, "Mass-Editing
Memory in a Transformer" (MEMIT), and Meng et al. 2022, "Locating and Editing Factual Associations
in GPT" (ROME).
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch

from interventions.data.base import Data, Edit
from interventions.editing.memit import MEMIT
from interventions.lm import LM
from tests.interventions.editing.reference import Reference


def test_the_targets_change_nothing_in_the_model(
    lm: LM, small: Data, weights: Callable[[LM], Any]
) -> None:
    before = weights(lm)
    wanted = MEMIT(steps=3).targets(lm, small.edits)
    assert wanted.dtype == torch.float32 and not wanted.requires_grad
    assert all(torch.equal(tensor, before[name]) for name, tensor in lm.model.state_dict().items())
    assert all(p.grad is None and not p.requires_grad for p in lm.model.parameters())


@pytest.mark.parametrize(
    "memit",
    [
        MEMIT(layers=(1, 2), steps=12, lr=0.2),
        MEMIT(layers=(3,), steps=6, lr=0.5, kl_factor=2.0, weight_decay=50.0),
        MEMIT(layers=(0,), steps=8, lr=0.5, clamp=0.1),
    ],
    ids=["defaults", "divergence-and-decay", "clamped"],
)
def test_targets_are_those_of_a_plain_optimization(
    lm: LM, edits: tuple[Edit, ...], reference: Reference, memit: MEMIT
) -> None:
    ours = memit.targets(lm, edits[1:3])[1]
    theirs, _ = reference.target(memit, edits[2])
    assert len(reference.ids(edits[2].target)) > 3 + len(reference.ids(edits[1].target))
    assert (ours.double() - theirs).abs().max() < 1e-3
    if memit.kl_factor > 1:  # what the comparison above can tell
        for without in (
            dataclasses.replace(memit, kl_factor=0.0),
            dataclasses.replace(memit, weight_decay=0.0),
        ):
            assert (reference.target(without, edits[2])[0] - theirs).abs().max() > 1e-2
    if memit.clamp < 1:
        h = MEMIT(layers=memit.layers, steps=1).targets(lm, [edits[2]])[0]
        assert (ours - h).norm().item() == pytest.approx(0.1 * h.norm().item(), rel=1e-4)


def test_targets_behind_prefixes_are_those_of_a_plain_optimization(
    lm: LM, edits: tuple[Edit, ...], reference: Reference
) -> None:
    memit, edit = MEMIT(layers=(2,), steps=6, lr=0.5), edits[1]
    befores = [
        "",
        "The river was quiet. ",
        f"I saw {edit.subject} near the mill. ",
    ]  # the last names the subject
    ours = memit.targets(lm, [edits[0], edit], befores)[1]
    theirs, _ = reference.target(memit, edit, befores)
    assert (ours.double() - theirs).abs().max() < 1e-3
    ends = [reference.subject_end(before, edit) for before in befores]
    ends[2] = (
        len(reference.ids(f"I saw {edit.subject}")) - 1
    )  # the prefix's own mention would be told from it
    assert (reference.target(memit, edit, befores, ends)[0] - theirs).abs().max() > 1e-2
    assert (reference.target(memit, edit)[0] - theirs).abs().max() > 1e-2


@pytest.mark.parametrize("befores", [("",), ("", "At night. ")])
def test_edits_optimized_together_are_those_optimized_alone_also_when_some_are_done_early(
    lm: LM, edits: tuple[Edit, ...], reference: Reference, befores: tuple[str, ...]
) -> None:
    memit = MEMIT(layers=(0,), steps=30, lr=1.0, clamp=1.5)
    six_edits = edits[:6]
    together = memit.targets(lm, six_edits, befores)
    for edit, z in zip(six_edits, together, strict=True):
        assert (memit.targets(lm, [edit], befores)[0] - z).abs().max() < 1e-3
    shorter = dataclasses.replace(memit, steps=28).targets(lm, six_edits, befores)
    done = (shorter - together).abs().amax(1) == 0  # two steps more change nothing
    assert 0 < done.sum() < len(six_edits)
    early = int(done.nonzero()[0])
    theirs, steps_taken = reference.target(memit, six_edits[early], befores)
    assert steps_taken < 28
    assert (together[early].double() - theirs).abs().max() < 1e-3
