"""RMU against a second, frozen model and plain passes.

Li et al. 2024, "The WMDP Benchmark", section 4.
"""

import copy
import dataclasses
import gc
from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from interventions.composition import Composition, apply
from interventions.data.base import Data
from interventions.data.testbed import MODEL
from interventions.errors import InvalidInput
from interventions.lm import LM
from interventions.partial_pass import hidden_states
from interventions.unlearning.rmu import RMU, topics
from tests.interventions.comparison import changed_weights
from tests.interventions.unlearning.reference import (
    KEY,
    Losses,
    PlainAdamW,
    Reference,
    assert_stepped_alike,
    down_projections,
    of_unlike_lengths,
)


class Steps:
    """What RMU's losses are called with, step after step."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.targets: list[Tensor] = []
        self.models: list[Any] = []
        loss = RMU.loss

        def spied(
            rmu: RMU, lm: LM, encoded: Any, forgotten: int, target: Tensor, before: list[Tensor]
        ) -> Tensor:
            self.targets.append(target.clone())
            self.models.append(lm.model)
            return loss(rmu, lm, encoded, forgotten, target, before)

        monkeypatch.setattr(RMU, "loss", spied)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    return Steps(monkeypatch)


def test_rmus_loss_is_that_of_unpadded_texts(lm: LM, small: Data) -> None:
    """Section 4, as means over tokens and units, at weights that have moved."""
    rmu, reference = RMU(layer=3, alpha=7.0, max_tokens=12), Reference(12)
    forget, retain = of_unlike_lengths(small.forget[:3]), of_unlike_lengths(small.retain[:5])
    weights = [lm.model.model.layers[i].mlp.down_proj.weight for i in (1, 2, 3)]
    before = [weight.clone() for weight in weights]
    generator = torch.Generator().manual_seed(0)
    for i, weight in zip((1, 2, 3), weights, strict=True):
        weight.add_(0.05 * torch.randn(weight.shape, generator=generator))
        reference.blocks[i].mlp.down_proj.weight.copy_(weight.double())
    target = 3 * torch.rand(128, generator=generator)
    ours = rmu.loss(lm, lm.encode([*forget, *retain], 12), 3, target, before)
    assert ours.item() == pytest.approx(
        reference.rmu_loss(forget, retain, 3, target, 7.0).item(), rel=1e-5
    )
    halves = [reference.rmu_loss(forget, retain, 3, target, alpha).item() for alpha in (0.0, 7.0)]
    assert 0.1 < halves[0] / halves[1] < 0.9  # both halves are seen
    assert all(torch.equal(a, b) for a, b in zip(weights, rmu.trained(lm), strict=True))


def test_rmus_losses_are_those_of_two_models_step_after_step(
    lm: LM, small: Data, losses: Losses, steps: Steps
) -> None:
    """The authors' loop: topics alternate, each with a vector of its own and its own place in the
    texts, and a frozen copy of the whole model; the texts go round and round.
    """
    data = dataclasses.replace(small, forget=small.forget[:7], retain=small.retain[:5])
    by_topic = [data.forget[0::2], data.forget[1::2]]
    rmu = RMU(layer=2, steering=30.0, alpha=20.0, steps=5, lr=2e-3, batch=3, max_tokens=20)
    stepped = apply(rmu, lm, data, KEY)
    ours = list(losses.steps)
    assert torch.equal(steps.targets[0], steps.targets[2])
    assert torch.equal(steps.targets[1], steps.targets[3])
    assert not torch.equal(steps.targets[0], steps.targets[1])
    reference = Reference(20)
    optimizer, theirs = PlainAdamW(reference.train(list(down_projections(0, 1, 2))), 2e-3, 0.01), []
    for index in range(5):
        topic, i = index % 2, index // 2
        texts = by_topic[topic]
        forget = [texts[(3 * i + j) % len(texts)] for j in range(3)]
        retain = [data.retain[(3 * i + j) % 5] for j in range(3)]
        loss = reference.rmu_loss(forget, retain, 2, steps.targets[topic], 20.0)
        theirs.append(loss.item())
        optimizer.step(loss)
    assert ours[0] == pytest.approx(theirs[0], rel=1e-6)
    assert ours == pytest.approx(theirs, rel=1e-3)
    assert changed_weights(stepped) == down_projections(0, 1, 2)


def test_one_step_of_rmu_is_one_plain_adamw_step(lm: LM, small: Data, steps: Steps) -> None:
    """Its weight decay is AdamW's own, 0.01; in the first step the retain loss is 0."""
    stepped = apply(RMU(layer=4, steering=30.0, steps=1, lr=1e-2, batch=4), lm, small, KEY)
    reference = Reference(64)
    optimizer = PlainAdamW(reference.train(list(down_projections(2, 3, 4))), 1e-2, 0.01)
    optimizer.step(
        reference.rmu_loss(small.forget[:8:2], small.retain[:4], 4, steps.targets[0], 10.0)
    )
    assert_stepped_alike(stepped, optimizer)


def test_three_topics_take_turns_and_go_on_where_they_were(
    lm: LM, small: Data, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first batch, of the first topic, tells whether padding is harmless."""
    encode, batches = LM.encode, list[list[str]]()

    def noted(lm: LM, texts: list[str], *lengths: Any) -> Any:
        batches.append(texts)
        return encode(lm, texts, *lengths)

    monkeypatch.setattr(LM, "encode", noted)
    data = dataclasses.replace(small, forget_topics=("first", "second", "third"))
    apply(RMU(layer=2, steps=7, batch=1), lm, data, KEY)
    assert [target.norm().item() for target in steps.targets] == pytest.approx([400.0] * 7)
    directions = {tuple(target.tolist()): index for index, target in enumerate(steps.targets)}
    assert [directions[tuple(target.tolist())] for target in steps.targets] == [6, 4, 5, 6, 4, 5, 6]
    places = [(0, 0), (0, 0), (1, 0), (2, 0), (3, 1), (4, 1), (5, 1), (6, 2)]
    assert batches == [[small.forget[hazard], small.retain[held]] for hazard, held in places]


def test_a_model_that_padding_changes_is_refused_by_the_first_batch_of_either_kind(
    lm: LM, small: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[list[int]] = []

    def harmful(lm: LM, texts: list[list[int]]) -> bool:
        rows.extend(texts)
        return False

    monkeypatch.setattr("interventions.padding.pads_harmlessly", harmful)
    before = lm.fingerprint()
    with pytest.raises(InvalidInput, match=r"^rmu cannot train a LlamaForCausalLM: it predicts"):
        apply(RMU(layer=2, steps=1, batch=2, max_tokens=5), lm, small, KEY)
    texts = (small.forget[0], small.forget[2], *small.retain[:2])
    assert rows == [lm.tokenizer.encode(text)[:5] for text in texts]
    assert lm.fingerprint() == before


@pytest.mark.parametrize("layer", [2, 3, 5])
def test_only_the_down_projections_of_three_blocks_change(lm: LM, small: Data, layer: int) -> None:
    edited = apply(RMU(layer=layer, steps=2, batch=2), lm, small, KEY)
    assert changed_weights(edited) == down_projections(layer - 2, layer - 1, layer)
    assert not [p for p in edited.model.parameters() if p.requires_grad]


def test_what_is_held_is_the_frozen_models_activation(
    lm: LM, small: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reference: a second, untouched copy of the model, run after the training on its batches."""
    hidden_calls: list[tuple[dict[str, Tensor], Tensor, bool]] = []

    def spied(model: nn.Module, encoded: Any, layer: int) -> Tensor:
        hidden = hidden_states(model, encoded, layer)
        hidden_calls.append(
            (
                {k: v.clone() for k, v in encoded.items()},
                hidden.detach().clone(),
                hidden.requires_grad,
            )
        )
        return hidden

    monkeypatch.setattr("interventions.unlearning.rmu.hidden_states", spied)
    one_topic = dataclasses.replace(small, forget_topics=())
    edited = apply(RMU(layer=3, steps=4, batch=2), lm, one_topic, KEY)
    held = [(encoded, hidden) for encoded, hidden, learns in hidden_calls if not learns]
    assert len(held) == 4
    untouched = LM.load(MODEL).model
    for i, (encoded, hidden) in enumerate(held):
        real = encoded["attention_mask"].bool()
        texts = lm.encode([small.retain[2 * i], small.retain[2 * i + 1]])
        assert torch.equal(
            encoded["input_ids"][real], texts["input_ids"][texts["attention_mask"].bool()]
        )
        with torch.no_grad():
            before = untouched(**encoded, output_hidden_states=True).hidden_states[4]
            after = edited.model(**encoded, output_hidden_states=True).hidden_states[4]
        torch.testing.assert_close(hidden[real], before[real], atol=1e-5, rtol=1e-5)
        assert (after - before)[real].abs().max() > 1e-2


def test_no_block_after_the_layer_runs(
    lm: LM, small: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it is known that padding changes nothing."""
    monkeypatch.setattr("interventions.unlearning.rmu.check_pads", lambda *texts: None)

    def must_not_run(*args: object, **kwargs: object) -> None:
        raise ZeroDivisionError("must not run")

    inner = lm.model.model
    for module in (*inner.layers[3:], inner.norm, lm.model.lm_head):
        module.forward = must_not_run
    apply(RMU(layer=2, steps=2, batch=2), lm, small, KEY)
    with pytest.raises(ZeroDivisionError):
        apply(RMU(layer=3, steps=1, batch=2), lm, small, KEY)


def test_no_second_model_is_kept(lm: LM, small: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted while it trains: stored tensors with the shapes of weights that are not trained."""
    shapes = {
        tuple(p.shape)
        for name, p in lm.model.named_parameters()
        if "down_proj" not in name and p.dim() == 2
    }
    assert shapes == {(2560, 128), (128, 128), (64, 128), (512, 128)}

    def kept() -> Counter[tuple[int, ...]]:
        gc.collect()
        tensors = [
            o for o in gc.get_objects() if issubclass(type(o), Tensor) and tuple(o.shape) in shapes
        ]
        return Counter(
            shape
            for _, shape in {(t.untyped_storage().data_ptr(), tuple(t.shape)) for t in tensors}
        )

    before = kept()
    during: list[Counter[tuple[int, ...]]] = []
    step = torch.optim.AdamW.step

    def counted(optimizer: Any, *args: Any) -> Any:
        during.append(kept())
        return step(optimizer, *args)

    monkeypatch.setattr(torch.optim.AdamW, "step", counted)
    for owner, name in ((copy, "deepcopy"), (PreTrainedModel, "from_pretrained")):
        monkeypatch.setattr(
            owner, name, lambda *a, name=name, **k: pytest.fail(f"{name} was called")
        )
    apply(RMU(layer=2, steps=3, batch=3), lm, small, KEY)
    assert during == [before] * 3


def test_the_steering_vector_is_as_long_as_steering_says(small: Data, steps: Steps) -> None:
    one_topic = dataclasses.replace(small, forget_topics=())
    for key in (KEY, KEY, "ab" * 16):
        apply(RMU(layer=2, steering=37.0, steps=3, batch=2), LM.load(MODEL), one_topic, key)
    first, again, with_other_seed = steps.targets[:3], steps.targets[3:6], steps.targets[6:]
    for target in steps.targets:
        assert target.shape == (128,)
        assert target.norm().item() == pytest.approx(37.0, rel=1e-5)
        assert (
            target.min() >= 0
        )  # entries uniform over [0, 1), then scaled: Li et al. 2024, section 4
    assert all(torch.equal(target, first[0]) for target in (*first, *again))
    assert all(torch.equal(target, with_other_seed[0]) for target in with_other_seed)
    assert not torch.equal(first[0], with_other_seed[0])


def test_rmu_steers_what_is_to_forget_and_holds_the_rest(small: Data) -> None:
    """With a large alpha retained activations stay; the forgotten ones move with any alpha."""
    untouched, moved = LM.load(MODEL), {}
    for alpha in (0.0, 100.0):
        edited = apply(RMU(layer=2, alpha=alpha, steps=30, batch=4), LM.load(MODEL), small, KEY)
        for name, texts in (("forget", small.forget), ("retain", small.retain)):
            encoded = untouched.encode(texts)
            real = encoded["attention_mask"].bool()
            with torch.no_grad():
                a, b = (
                    hidden_states(compared.model, encoded, 2)[real]
                    for compared in (edited, untouched)
                )
            moved[name, alpha] = float((a - b).norm() / b.norm())
    assert moved["retain", 100.0] < 0.5 * moved["retain", 0.0]
    assert moved["forget", 100.0] > moved["retain", 100.0]


def test_topics_are_as_many_as_have_texts() -> None:
    assert topics(("a", "b", "c"), 0) == topics(("a", "b", "c"), 1) == [("a", "b", "c")]
    assert topics(("a", "b", "c"), 2) == [("a", "c"), ("b",)]
    assert topics(("a",), 2) == [("a",)]


def test_the_topics_of_hazardous_texts_are_in_the_key(small: Data) -> None:
    rmu = Composition((RMU(),))
    other = dataclasses.replace(small, forget_topics=())
    assert rmu.keys("base", small) != rmu.keys("base", other)
    assert small.identity("forget") == other.identity("forget")
