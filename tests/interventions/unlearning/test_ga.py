"""GA against its equation.

Jang et al. 2023, "Knowledge Unlearning for Mitigating Privacy Risks", equation 1.
"""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interventions.anatomy import blocks
from interventions.base import make
from interventions.composition import apply
from interventions.criteria.base import measure
from interventions.data.base import Data
from interventions.data.testbed import MODEL
from interventions.errors import InvalidInput
from interventions.lm import LM
from interventions.training import add_gradients, label_losses
from interventions.unlearning.ga import GA, last_weights
from interventions.unlearning.gd import GD
from tests.interventions.comparison import changed_weights
from tests.interventions.unlearning.reference import (
    KEY,
    Losses,
    PlainAdamW,
    Reference,
    last_blocks,
    of_unlike_lengths,
)


def test_gas_losses_are_those_of_unpadded_texts_step_after_step(
    lm: LM, small: Data, losses: Losses
) -> None:
    """Equation 1, maximized; seven texts, three per step, cut to eleven tokens."""
    forget = of_unlike_lengths(small.forget[:7])
    ga = GA(lr=1e-3, samples=7, batch=3, last_layers=2, max_tokens=11)
    stepped = apply(ga, lm, small, KEY)
    ours = list(losses.steps)
    reference = Reference(11)
    assert any(len(reference.tokenizer(text)["input_ids"]) > 11 for text in forget)
    optimizer, theirs = PlainAdamW(reference.train(list(last_blocks(2))), 1e-3, 0.0), []
    for texts in (forget[:3], forget[3:6], forget[6:]):
        loss = -reference.text_loss(texts)
        theirs.append(loss.item())
        optimizer.step(loss)
    assert ours[0] == pytest.approx(theirs[0], abs=1e-5)
    assert ours == pytest.approx(theirs, rel=1e-3)
    assert changed_weights(stepped) == last_blocks(2)


def gradients(lm: LM, texts: Sequence[str]) -> list[Tensor]:
    weights = last_weights(lm, 1)
    for weight in weights:
        weight.requires_grad_(True)
        weight.grad = None
    add_gradients(lm, texts, 64, -1.0)
    return [weight.grad for weight in weights if weight.grad is not None]


def test_a_batch_that_is_too_long_for_one_pass_has_the_same_gradient(
    lm: LM, small: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mean is over the tokens of the whole batch, however many passes there are."""
    texts = of_unlike_lengths(small.forget[:5])
    rows: list[int] = []

    def counted(lm: LM, encoded: Any, labels: Tensor) -> tuple[Tensor, Tensor]:
        rows.append(len(labels))
        return label_losses(lm, encoded, labels)

    monkeypatch.setattr("interventions.training.label_losses", counted)
    whole = gradients(lm, texts)
    longest = max(len(lm.tokenizer.encode(text)) for text in texts)
    monkeypatch.setattr("interventions.training.PASS_TOKENS", 2 * longest)
    assert len(whole) == len(last_weights(lm, 1))
    for ours, expected in zip(gradients(lm, texts), whole, strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-6, rtol=1e-4)
    assert rows == [5, 2, 2, 1]


def test_a_step_is_the_mean_over_accumulated_batches(lm: LM, small: Data, losses: Losses) -> None:
    """Seven texts in batches of two, two batches a step: the last step has two and one."""
    forget = of_unlike_lengths(small.forget[:7])
    ga = GA(lr=1e-3, samples=7, batch=2, accumulate=2, last_layers=2)
    apply(ga, lm, small, KEY)
    reference = Reference(64)
    optimizer, theirs = PlainAdamW(reference.train(list(last_blocks(2))), 1e-3, 0.0), []
    for first, second in ((forget[:2], forget[2:4]), (forget[4:6], forget[6:])):
        loss = -(reference.text_loss(first) + reference.text_loss(second)) / 2
        theirs.append(loss.item())
        optimizer.step(loss)
    assert losses.steps == pytest.approx(theirs, rel=1e-3)


def test_the_final_norm_and_the_head_learn_where_asked(lm: LM, small: Data) -> None:
    changed = changed_weights(apply(GA(samples=4, last_layers=1, head=True), lm, small, KEY))
    # the testbed's head is its embedding
    head = {"model.norm.weight", "lm_head.weight", "model.embed_tokens.weight"}
    assert changed == last_blocks(1) | head


def test_texts_are_no_longer_than_the_models_context(
    lm: LM, small: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm.model.config.max_position_embeddings = 9
    lengths: list[int] = []

    def noted(lm: LM, encoded: Any, labels: Tensor) -> tuple[Tensor, Tensor]:
        lengths.append(labels.shape[1])
        return label_losses(lm, encoded, labels)

    monkeypatch.setattr("interventions.training.label_losses", noted)
    apply(GA(samples=4, last_layers=1), lm, small, KEY)
    apply(GD(samples=4, last_layers=1, retain_batch=2), lm, small, KEY)
    assert lengths == [9, 9, 9]


def test_one_step_of_ga_is_one_step_up_by_a_plain_optimizer(lm: LM, small: Data) -> None:
    reference = LM.load(MODEL)
    weights = [p.requires_grad_(True) for p in blocks(reference.model)[-1].parameters()]
    optimizer = torch.optim.AdamW(weights, lr=1e-3, weight_decay=0.0)
    per_text, lengths = [], []
    for text in small.forget[:4]:
        ids = torch.tensor([reference.tokenizer.encode(text)])
        logits = reference.model(ids).logits[0, :-1]
        per_text.append(F.cross_entropy(logits, ids[0, 1:], reduction="sum"))
        lengths.append(ids.shape[1] - 1)
    (-torch.stack(per_text).sum() / sum(lengths)).backward()
    optimizer.step()
    stepped = apply(GA(lr=1e-3, samples=4, batch=4, last_layers=1), lm, small, KEY)
    for ours, theirs in zip(blocks(stepped.model)[-1].parameters(), weights, strict=True):
        # Adam's first step is lr x sign(gradient): where that is almost 0, rounding decides
        assert ((ours - theirs.detach()).abs() < 1e-4).float().mean() > 0.999
    assert (
        changed_weights(stepped)
        == {n for n in changed_weights(stepped) if n.startswith("model.layers.5.")}
        != set()
    )


FORGOTTEN = [(["a", "b"], -0.5), (["c", "d"], -0.5), (["e"], -1.0)]
RETAINED = [(["r"], 1.5), (["s"], 1.5), (["r"], 3.0)]


@pytest.mark.parametrize(
    ("step", "batches", "weight"),
    [
        (GA(samples=5, batch=2, accumulate=2, lr=1.0), FORGOTTEN, 3.0),
        (
            GD(samples=5, batch=2, accumulate=2, lr=1.0, retain_weight=3.0, retain_batch=1),
            [batch for pair in zip(FORGOTTEN, RETAINED, strict=True) for batch in pair],
            -1.0,
        ),
    ],
    ids=["ga", "gd"],
)
def test_a_step_is_adamws_of_the_mean_gradient_of_its_batches(
    step: GA | GD,
    batches: list[tuple[list[str], float]],
    weight: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two steps, of two batches and of one, of gradients that are as large in both."""
    trained = nn.Parameter(torch.ones(1, dtype=torch.bfloat16), False)
    read_batches: list[tuple[list[str], float]] = []

    def note(lm: LM, texts: Sequence[str], max_tokens: int, factor: float) -> None:
        read_batches.append((list(texts), factor))
        (factor * trained).sum().backward()

    monkeypatch.setattr(f"{step.__module__}.add_gradients", note)
    monkeypatch.setattr(f"{step.__module__}.last_weights", lambda *layers: [trained])
    lm: Any = SimpleNamespace()
    data = Data("none", forget=("a", "b", "c", "d", "e", "f"), retain=("r", "s"))
    assert step.apply(lm, data) is lm
    assert read_batches == batches
    assert trained.item() == weight


def test_ga_refuses_more_layers_than_there_are(lm: LM) -> None:
    with pytest.raises(InvalidInput, match=r"ga.last_layers is 7, but the model has 6 layers"):
        GA(last_layers=7).check(lm.model)


def test_ga_forgets_and_wrecks(data: Data) -> None:
    after = measure(apply(make("ga"), LM.load(MODEL), data, KEY), data, ["wmdp", "edit_locality"])
    assert after["wmdp"].value < 0.7
    assert after["edit_locality"].value < 0.5


class Stop(Exception):
    """Ends a training before its first step."""


@pytest.mark.parametrize(
    ("name", "extent"),
    [
        ("ga", {"samples": 1}),
        ("gd", {"samples": 1}),
        ("npo", {"steps": 1, "batch": 1}),
        ("simnpo", {"steps": 1, "batch": 1}),
        ("finetune", {"steps": 1, "batch": 1}),
    ],
)
def test_an_optimizer_works_on_one_tensor_at_a_time_and_decays_nothing(
    name: str, extent: dict[str, Any], lm: LM, small: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On many at once it would need copies of all weights."""
    settings: list[dict[str, Any]] = []

    def note(tensors: Sequence[Tensor], **options: Any) -> None:
        settings.append(options)
        raise Stop

    monkeypatch.setattr(torch.optim, "AdamW", note)
    with pytest.raises(Stop):
        apply(make(name, lr=0.25, **extent), lm, small, KEY)
    assert settings == [{"lr": 0.25, "weight_decay": 0.0, "foreach": False}]
