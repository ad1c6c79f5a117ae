"""GA against its equation.

Jang et al. 2023, "Knowledge Unlearning for Mitigating Privacy Risks", equation 1.
"""

import pytest
import torch
from torch.nn import functional as F

from interventions.anatomy import blocks
from interventions.base import make
from interventions.composition import apply
from interventions.criteria.base import measure
from interventions.data.base import Data
from interventions.data.testbed import MODEL
from interventions.errors import InvalidInput
from interventions.lm import LM
from interventions.unlearning.ga import GA, text_loss
from tests.interventions.comparison import changed_weights, unpadded_loss
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


def test_the_forget_loss_is_that_of_unpadded_texts(lm: LM, small: Data) -> None:
    texts = small.forget[:5]
    rows = [(lm.tokenizer.encode(text), 0) for text in texts]
    assert len({len(ids) for ids, _ in rows}) > 1  # there is padding to leave out
    assert text_loss(lm, texts, 64).item() == pytest.approx(
        unpadded_loss(lm, rows).item(), abs=1e-5
    )


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


def test_ga_refuses_more_layers_than_there_are(lm: LM) -> None:
    with pytest.raises(InvalidInput, match=r"ga.last_layers is 7, but the model has 6 layers"):
        GA(last_layers=7).check(lm.model)


def test_ga_forgets_and_wrecks(data: Data) -> None:
    after = measure(apply(make("ga"), LM.load(MODEL), data, KEY), data, ["wmdp", "edit_locality"])
    assert after["wmdp"].value < 0.7
    assert after["edit_locality"].value < 0.5
