"""Compositions: their keys, how a step runs, what is compressed again."""

import dataclasses
import hashlib
import random
from collections.abc import Iterator

import pytest
import torch

from interventions.base import INTERVENTIONS, Intervention
from interventions.composition import Composition, apply, digest, seeded
from interventions.compression.wanda import Wanda
from interventions.data.base import Data
from interventions.lm import LM

KEY = "0123456789abcdef" * 2


@pytest.fixture
def draws() -> Iterator[type[Intervention]]:
    """An intervention that writes random numbers of torch and of Python into the first weights."""
    entries = dict(INTERVENTIONS.all())

    @dataclasses.dataclass(frozen=True)
    class Draws(Intervention, category="editing"):
        def apply(self, lm: LM, data: Data) -> LM:
            weight = lm.model.get_input_embeddings().weight
            weight[0, 0], weight[0, 1] = random.random(), torch.rand(())
            lm.model.train().requires_grad_(True)
            return lm

    yield Draws
    INTERVENTIONS.remove(Draws.name)
    assert INTERVENTIONS.all() == entries


def test_equal_prefixes_share_keys_and_nothing_else_does(data: Data) -> None:
    short, long = (Composition.parse(text).keys("o", data) for text in ("lora", "lora | wanda"))
    assert long[:2] == short
    assert Composition.parse("wanda | lora").keys("o", data)[1:] != long[1:]
    assert Composition.parse("lora").keys("other", data)[0] != short[0]
    assert len(set(long)) == 3


def test_every_field_enters_the_key_and_an_int_is_its_float(data: Data) -> None:
    def key(text: str) -> str:
        return Composition.parse(text).keys("o", data)[-1]

    assert key("wanda(sparsity=0)") == key("wanda(sparsity=0.0)")
    assert key("wanda") == key("wanda(sparsity=0.5)") != key("wanda(samples=64)")


def test_a_key_depends_only_on_the_data_that_the_step_reads(data: Data) -> None:
    fewer_edits = dataclasses.replace(data, edits=data.edits[:1])
    compression, editing = Composition.parse("wanda"), Composition.parse("lora")
    assert compression.keys("o", data) == compression.keys("o", fewer_edits)
    assert editing.keys("o", data) != editing.keys("o", fewer_edits)


def test_the_version_enters_the_key(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Composition([Wanda()]).keys("o", data)
    monkeypatch.setattr(Wanda, "version", Wanda.version + 1)
    assert Composition([Wanda()]).keys("o", data) != before


def test_a_key_hashes_the_key_before_it_and_all_that_the_step_says(data: Data) -> None:
    step = Wanda(sparsity=0.25)
    base, key = Composition([step]).keys("o", data)
    assert base == digest("origin", "o")
    parts = {"calibration": data.identity("calibration")}
    assert key == digest(base, "wanda", Wanda.version, step.identity(), parts)
    assert len(key) == 32 and int(key, 16)


def test_a_digest_is_of_values_and_their_order_but_not_of_a_mappings_order() -> None:
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 2, "b": 1})
    assert digest(1, 2) != digest(2, 1)
    assert digest("origin", 1) == hashlib.sha256(b'["origin", 1]').hexdigest()[:32]


def test_seeding_leaves_the_state_outside_alone() -> None:
    torch.manual_seed(1)
    random.seed(1)
    expected = torch.rand(1), random.random()
    torch.manual_seed(1)
    random.seed(1)
    with seeded("ab" * 16):
        torch.rand(3), random.random()
    assert (torch.rand(1), random.random()) == expected


def test_the_state_outside_is_left_alone_even_if_the_block_fails() -> None:
    random.seed(1)
    torch.manual_seed(1)
    states = random.getstate(), torch.get_rng_state()
    with pytest.raises(RuntimeError), seeded(KEY):
        torch.rand(3), random.random()
        raise RuntimeError
    assert random.getstate() == states[0] and torch.equal(torch.get_rng_state(), states[1])


def test_a_step_is_seeded_from_its_key_alone_in_torch_and_in_python(
    draws: type[Intervention], small: Data, lm: LM
) -> None:
    def drawn(key: str, outside: int) -> list[float]:
        torch.manual_seed(outside)
        random.seed(outside)
        changed = apply(draws(), lm, small, key)
        numbers: list[float] = changed.model.get_input_embeddings().weight[0, :2].tolist()
        return numbers

    first, again, another = drawn(KEY, 1), drawn(KEY, 2), drawn("f" * 32, 1)
    assert first == again
    assert first[0] != another[0] and first[1] != another[1]
    # the seeds that cached checkpoints were made with: the key, and 60 bits of it
    generator = torch.Generator().manual_seed(0x123456789ABCDE)
    expected = [random.Random(KEY).random(), float(torch.rand((), generator=generator))]
    assert first == pytest.approx(expected)


def test_an_applied_model_is_ready_to_be_measured_and_trained_anew(
    draws: type[Intervention], small: Data, lm: LM
) -> None:
    weight = lm.model.get_input_embeddings().weight
    weight.grad = torch.ones_like(weight)
    changed = apply(draws(), lm, small, KEY)
    assert not changed.model.training
    assert all(not p.requires_grad and p.grad is None for p in changed.model.parameters())


def test_recompression_is_measured_not_assumed(lm: LM, small: Data) -> None:
    composition = Composition.parse("wanda | ft")
    for step in composition:
        lm = apply(step, lm, small, "ab" * 16)
    assert composition.recompression(lm, "auto") == Composition([Wanda()])
    assert composition.recompression(lm, "never") == Composition()
    assert composition.recompression(lm, "paper") == Composition([Wanda()])
    lm = apply(Wanda(), lm, small, "ab" * 16)
    assert composition.recompression(lm, "auto") == Composition()
    assert Composition.parse("ft | wanda").recompression(lm, "paper") == Composition()


def test_the_papers_recompression_leaves_awq_out_and_what_nothing_came_after(lm: LM) -> None:
    composition = Composition.parse("awq | gptq | ft | wanda")
    assert composition.recompression(lm, "paper") == Composition.parse("gptq")
    assert Composition.parse("wanda | gptq").recompression(lm, "paper") == Composition()
