"""Fine-tuning against a plain loop in float64, and the texts that it takes."""

import dataclasses
import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from interventions.composition import Composition, apply
from interventions.criteria.base import measure
from interventions.data import testbed as world
from interventions.data.base import Data
from interventions.data.testbed import MODEL
from interventions.errors import InvalidInput
from interventions.finetuning import finetune
from interventions.finetuning.finetune import Finetune, _hash
from interventions.lm import LM, skeleton
from tests.interventions.comparison import changed_weights
from tests.interventions.unlearning.reference import (
    KEY,
    Losses,
    PlainAdamW,
    Reference,
    assert_stepped_alike,
    last_blocks,
    of_unlike_lengths,
)

SMALL: dict[str, Any] = {"lr": 1e-3, "steps": 3, "batch": 2, "max_tokens": 16}


def file_of(folder: Path, *texts: str, name: str = "texts.jsonl") -> str:
    path = folder / name
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return str(path)


def test_the_losses_are_those_of_unpadded_texts_step_after_step(
    lm: LM, small: Data, losses: Losses
) -> None:
    """Of five texts, the second to the fourth, two a step, round and round."""
    data = dataclasses.replace(small, forget=of_unlike_lengths(small.forget[:5]))
    step = Finetune(**SMALL, part="forget", skip=1, samples=3, layers=(4, 5))
    stepped = apply(step, lm, data, KEY)
    reference = Reference(16)
    optimizer, theirs = PlainAdamW(reference.train(list(last_blocks(2))), 1e-3, 0.0), []
    for i in range(3):
        loss = reference.text_loss([data.forget[1 + (2 * i + j) % 3] for j in range(2)])
        theirs.append(loss.item())
        optimizer.step(loss)
    assert losses.steps == pytest.approx(theirs, rel=1e-3)
    assert changed_weights(stepped) == last_blocks(2)


def test_one_step_of_all_blocks_is_one_plain_adamw_step(lm: LM, small: Data) -> None:
    stepped = apply(Finetune(**{**SMALL, "steps": 1}), lm, small, KEY)
    reference = Reference(16)
    optimizer = PlainAdamW(reference.train(list(last_blocks(6))), 1e-3, 0.0)
    optimizer.step(reference.text_loss(small.retain[:2]))
    assert_stepped_alike(stepped, optimizer)
    assert changed_weights(stepped) == last_blocks(6)


def test_adapters_are_merged_and_of_their_rank(lm: LM, small: Data, losses: Losses) -> None:
    """B is 0 at first: the first loss is the model's, and the change has the adapters' rank."""
    stepped = apply(Finetune(**SMALL, rank=2, part="forget"), lm, small, KEY)
    loss = Reference(16).text_loss(small.forget[:2])
    assert losses.steps[0] == pytest.approx(loss.item(), abs=1e-5)
    changed = changed_weights(stepped)
    matrices = ("gate_proj", "up_proj", "down_proj")
    assert changed == {f"model.layers.{i}.mlp.{name}.weight" for i in range(6) for name in matrices}
    before, after = LM.load(MODEL).model.state_dict(), stepped.model.state_dict()
    for name in changed:
        values = torch.linalg.svdvals((after[name] - before[name]).double())
        assert values[2] < 1e-3 * values[0] and values[1] > 1e-3 * values[0]


def test_alpha_scales_the_adapters(small: Data) -> None:
    """The factor B is 0 at first, and Adam's first step is as long whatever its gradient."""
    before, name = LM.load(MODEL).model.state_dict(), "model.layers.0.mlp.up_proj.weight"
    changes = []
    for alpha in (8.0, 16.0):
        step = Finetune(**{**SMALL, "steps": 1}, rank=2, alpha=alpha)
        stepped = apply(step, LM.load(MODEL), small, KEY)
        changes.append((stepped.model.state_dict()[name] - before[name]).norm())
    assert changes[1] / changes[0] == pytest.approx(2, rel=0.02)


def test_a_file_is_learned_instead_and_known_by_its_texts(
    lm: LM, small: Data, losses: Losses, tmp_path: Path
) -> None:
    texts = ("An old ship came home late.", "Nobody spoke about the storm.")
    step = Finetune(**SMALL, file=file_of(tmp_path, *texts))
    assert step.reads == frozenset() and Finetune().reads == {"retain"}
    apply(step, lm, dataclasses.replace(small, retain=(), forget=()), KEY)
    assert losses.steps[0] == pytest.approx(Reference(16).text_loss(texts).item(), abs=1e-5)
    again = Finetune(**SMALL, file=file_of(tmp_path, *texts, name="again.jsonl"))
    other = Finetune(**SMALL, file=file_of(tmp_path, texts[0], name="other.jsonl"))
    assert step.identity() == again.identity() != other.identity()
    assert step.params()["content"] == step.identity()["content"]


def test_a_file_that_was_changed_is_refused(lm: LM, small: Data, tmp_path: Path) -> None:
    step = Finetune(**SMALL, file=file_of(tmp_path, "An old ship came home late."))
    params = {**SMALL, **step.params()}
    assert Finetune(**params).identity() == step.identity()
    file_of(tmp_path, "Another text is in it now.")
    for changed in (step, Finetune(**params)):
        with pytest.raises(InvalidInput, match=r"have the content .* they were changed"):
            changed.check(skeleton(MODEL))
        with pytest.raises(InvalidInput, match="have the content"):
            apply(changed, lm, small, KEY)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (Finetune(layers=(6,)), "finetune.layers names layer 6, but the model has layers 0 to 5"),
        (Finetune(rank=129), "finetune.rank must be at most 128"),
        (Finetune(file="no/such.jsonl"), "no/such.jsonl"),
    ],
    ids=["layer", "rank", "file"],
)
def test_what_does_not_fit_is_refused_before_anything_is_loaded(
    step: Finetune, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        step.check(skeleton(MODEL))


def test_adapters_may_be_as_wide_as_the_smaller_side_of_their_layers() -> None:
    Finetune(rank=128).check(skeleton(MODEL))


def test_steps_are_reported_from_the_first_on(
    lm: LM, small: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four steps of two of three texts; nothing is learned here."""
    reported: list[int] = []
    batches: list[list[str]] = []
    module = "interventions.finetuning.finetune"
    monkeypatch.setattr(f"{module}.report", lambda step, done, lm: reported.append(done))
    monkeypatch.setattr(
        f"{module}.add_gradients", lambda lm, texts, tokens, share: batches.append(texts)
    )
    first, second, third = small.retain[:3]
    apply(Finetune(steps=4, batch=2, samples=3, layers=(0,)), lm, small, KEY)
    assert reported == [1, 2, 3, 4]
    assert batches == [[first, second], [third, first], [second, third], [first, second]]


@pytest.mark.parametrize(("layers", "trained"), [(None, [0, 1, 2]), ((2, 0), [0, 2])])
def test_a_step_is_adamws_of_its_own_gradient_in_float32_without_decay(
    layers: tuple[int, ...] | None, trained: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a gradient that stays as it is AdamW's steps are as long as its learning rate."""
    weights = [nn.Parameter(torch.ones(1, dtype=torch.bfloat16), False) for _ in range(3)]

    def add_gradients(lm: LM, texts: list[str], max_tokens: int, share: float) -> None:
        assert (max_tokens, share) == (64, 1)
        for weight in weights:
            if weight.requires_grad:
                weight.sum().backward()

    monkeypatch.setattr(finetune, "add_gradients", add_gradients)
    monkeypatch.setattr(finetune, "blocks", lambda model: weights)
    monkeypatch.setattr(finetune, "block_weights", lambda weight: [weight])
    lm: Any = SimpleNamespace(model=None)
    step = Finetune(steps=3, lr=0.01, batch=1, layers=layers)
    assert step.apply(lm, Data("none", retain=("a", "b"))) is lm
    expected = [0.97 if index in trained else 1.0 for index in range(3)]
    rounded = torch.tensor(expected, dtype=torch.float32).bfloat16().tolist()
    assert [weight.item() for weight in weights] == rounded


def test_texts_are_known_by_a_hash_of_32_digits_and_no_texts_by_none() -> None:
    expected = hashlib.sha256(b'["An old ship.", "A \\u00e9"]').hexdigest()[:32]
    assert _hash(("An old ship.", "A \u00e9")) == expected
    assert _hash(()) == ""


def test_a_hash_without_a_file_is_refused() -> None:
    with pytest.raises(InvalidInput, match="name the file"):
        Finetune(content="a" * 32)


def test_more_texts_than_there_are_are_refused_unless_the_default_asks_for_them(
    small: Data, tmp_path: Path
) -> None:
    count = len(small.retain)
    Finetune(samples=count - 3, skip=3).check_texts(small)
    Finetune(skip=count - 1).check_texts(small)
    for step in (Finetune(samples=count - 2, skip=3), Finetune(skip=count)):
        with pytest.raises(InvalidInput, match=rf"{step.skip} that .* are {count} texts .'retain'"):
            step.check_texts(small)
    step = Finetune(samples=3, file=file_of(tmp_path, "An old ship.", "A new one."))
    step.check_texts(small)
    with pytest.raises(InvalidInput, match="there are 2 texts"):
        step.check(skeleton(MODEL))


def test_the_key_goes_by_the_part_that_is_read(small: Data) -> None:
    changed = dataclasses.replace(small, forget=("another text",))
    for spec, differs in (("finetune", False), ("finetune(part='forget')", True)):
        composition = Composition.parse(spec)
        keys = composition.keys("origin", small), composition.keys("origin", changed)
        assert (keys[0] != keys[1]) is differs


@pytest.mark.slow
def test_half_of_the_facts_bring_back_what_was_unlearned(lm: LM) -> None:
    """Deeb and Roger 2024: most accuracy comes back, benign texts bring back less."""
    data = world.testbed(0, "validation")
    lm = apply(Composition.parse("rmu")[0], lm, data, KEY)
    unlearned = measure(lm, data, ["wmdp"])["wmdp"].value
    folder_weights = {name: w.clone() for name, w in lm.model.state_dict().items()}
    restored = {}
    for part in ("retain", "forget"):
        lm.model.load_state_dict(folder_weights)
        [step] = Composition.parse(f"finetune(part='{part}', samples=400, steps=60)")
        restored[part] = measure(apply(step, lm, data, KEY), data, ["wmdp"])["wmdp"].value
    assert restored["forget"] > unlearned + 0.2
    assert restored["forget"] > restored["retain"]
