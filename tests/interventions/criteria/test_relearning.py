"""Relearning: what is learned and asked, which rate counts, and the model as it was."""

from dataclasses import replace
from typing import Any

import peft
import pytest
import torch

from interventions.criteria import relearning
from interventions.criteria.base import criterion_of, measure
from interventions.criteria.engine.evaluation import answered
from interventions.criteria.relearning import LEARNING_RATES, cross_chosen, relearned
from interventions.data import testbed as world
from interventions.data.base import Data
from interventions.data.own.reading import own_data
from interventions.data.testbed import RETAIN_MODEL
from interventions.errors import InvalidInput
from interventions.lm import LM
from interventions.low_rank import taken_out
from interventions.prompt_format import read_prompt_format
from tests.interventions.criteria.engine.stock import small_model
from tests.interventions.data.own.parts import question, question_set

ROWS = [question(number) for number in range(9)]


def own(**sets: dict[str, Any]) -> Data:
    return own_data(questions=sets).batch()


POISONS = own(
    poisons=question_set(*ROWS[:5], better="lower"),
    venoms=question_set(*ROWS[5:], better="lower", answers="texts"),
    stones=question_set(*ROWS),
)


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relearning, "STEPS", 3)
    monkeypatch.setattr(relearning, "BATCH", 2)


@pytest.mark.parametrize("family", ["gpt2", "qwen2", "mixtral"])
@pytest.mark.usefixtures("fast")
def test_the_model_is_as_before_to_the_bit_also_where_learning_fails(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = small_model(family)
    lm.model.requires_grad_(True)
    before, names = lm.fingerprint(), [name for name, _ in lm.model.named_modules()]
    torch.manual_seed(5)
    first = torch.rand(1)
    torch.manual_seed(5)
    assert set(measure(lm, POISONS, ["relearned"])) == {"relearned"}
    assert torch.equal(torch.rand(1), first)  # what a user draws is not changed

    def fails(*arguments: Any) -> None:
        raise RuntimeError("the device is full")

    monkeypatch.setattr(relearning, "_learn", fails)
    with pytest.raises(RuntimeError, match="the device is full"):
        relearned(lm, POISONS)
    assert lm.fingerprint() == before
    assert [name for name, _ in lm.model.named_modules()] == names
    assert not hasattr(lm.model, "peft_config")
    assert all(weight.requires_grad and weight.grad is None for weight in lm.model.parameters())


@pytest.mark.usefixtures("fast")
def test_every_second_question_is_learned_with_its_right_answer_and_the_others_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learned: list[list[Any]] = []

    def noted(lm: LM, texts: list[Any], rate: float, weights: Any) -> None:
        learned.append(texts)

    monkeypatch.setattr(relearning, "_learn", noted)
    scores = relearned(small_model("qwen2"), POISONS)
    assert list(scores.items) == ["poisons/1", "poisons/3", "venoms/0", "venoms/2"]
    assert learned == [learned[0]] * len(LEARNING_RATES)
    poisons, venoms = POISONS.questions.sets[:2]
    tokenizer = small_model("qwen2").tokenizer
    expected = [f"{poisons.prompt(q)} {'ABCD'[q.answer]}" for q in poisons.questions[::2]]
    expected += [f"{venoms.prompt(q)} {q.right_choice}" for q in venoms.questions[1::2]]
    assert [tokenizer.decode(ids) for ids in learned[0]] == expected


def test_no_score_is_raised_by_the_choice_of_a_rate() -> None:
    """Of noise alone: the best of three for an item itself has 1 - 1/8, chosen by others 1/2."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(0, 2, (400, 3, 6), generator=generator).double()
    means = []
    for settings in drawn:
        scores = [dict(zip("abcdef", map(float, row), strict=True)) for row in settings]
        chosen = cross_chosen(scores, list("abcdef"))
        assert list(chosen) == list("abcdef")
        means.append(sum(chosen.values()) / 6)
    assert sum(means) / len(means) == pytest.approx(0.5, abs=0.03)


def test_a_rate_that_is_best_for_both_halves_is_taken_and_of_equal_ones_the_first() -> None:
    low, high = dict.fromkeys("abcd", 0.0), dict.fromkeys("abcd", 1.0)
    assert cross_chosen([low, high, low], list("abcd")) == high
    ties = [{"a": 1.0, "b": 0.0}, {"a": 0.0, "b": 0.0}]
    assert cross_chosen(ties, ["a", "b"])["a"] == 1.0


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.usefixtures("fast")
def test_answers_are_those_of_a_model_trained_by_hand(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reference: peft's adapters and Adam, one text at a time, weighted by tokens."""
    lm, rate = small_model(family), LEARNING_RATES[-1]
    questions = POISONS.questions.only({"poisons", "venoms"})
    texts = ["The first of them is red.", "Another, longer one is blue and red.", "A third."]
    items = [f"poisons/{number}" for number in range(5)]
    trained: list[torch.Tensor] = []
    ids = torch.tensor([lm.tokenizer(texts[1])["input_ids"]])

    def noted(adapted: Any) -> Any:
        trained.append(adapted(ids).logits.detach())
        return taken_out(adapted)

    monkeypatch.setattr(relearning, "taken_out", noted)
    rows_of_text = [lm.tokenizer(text)["input_ids"] for text in texts]
    ours = relearning._after_learning(lm, rows_of_text, rate, questions, items)
    layers = ["c_fc", "c_proj"] if family == "gpt2" else ["gate_proj", "up_proj", "down_proj"]
    blocks = [
        name
        for name, _ in lm.model.named_modules()
        if "mlp." in name and name.rpartition(".")[2] in layers
    ]
    torch.manual_seed(0)
    config = peft.LoraConfig(
        r=8, lora_alpha=16, target_modules=blocks, fan_in_fan_out=family == "gpt2"
    )
    adapted: Any = peft.get_peft_model(lm.model, config)
    weights = [weight for weight in adapted.parameters() if weight.requires_grad]
    optimizer = torch.optim.Adam(weights, lr=rate)
    # three steps of two, round and round
    for batch in (texts[:2], [texts[2], texts[0]], texts[1:]):
        rows = [torch.tensor(lm.tokenizer(text)["input_ids"]) for text in batch]
        losses = [
            torch.nn.functional.cross_entropy(
                adapted(row[None]).logits[0, :-1], row[1:], reduction="sum"
            )
            for row in rows
        ]
        optimizer.zero_grad()
        (torch.stack(losses).sum() / sum(len(row) - 1 for row in rows)).backward()
        optimizer.step()
    torch.testing.assert_close(adapted(ids).logits, trained[0], atol=1e-3, rtol=1e-3)
    measured = measure(replace(lm, model=adapted.merge_and_unload()), POISONS, ["poisons"])
    assert ours == {f"poisons/{item}": score for item, score in measured["poisons"].items.items()}


def test_few_questions_and_data_without_any_are_refused() -> None:
    few = own(poisons=question_set(*ROWS[:3], better="lower"))
    with pytest.raises(ValueError, match="relearned needs four questions, but there are 3"):
        relearned(small_model("qwen2"), few)
    with pytest.raises(InvalidInput, match="relearned is measured on questions"):
        criterion_of(own(stones=question_set(*ROWS)), "relearned")
    assert criterion_of(POISONS, "relearned").needs == ("questions.poisons", "questions.venoms")


@pytest.mark.slow
def test_a_model_never_taught_learns_nothing_of_the_rest_and_one_that_was_keeps_it(
    lm: LM,
) -> None:
    never = measure(LM.load(RETAIN_MODEL), world.testbed(), ["relearned"])["relearned"]
    always = measure(lm, world.testbed(), ["relearned"])["relearned"]
    assert never.value < 0.25 + 0.15 and always.value > 0.75
    assert len(never.items) == 150


def noted_texts(patch: pytest.MonkeyPatch) -> list[list[Any]]:
    """Learn nothing; return what is given to learn, by learning rate."""
    learned: list[list[Any]] = []
    patch.setattr(relearning, "_learn", lambda lm, texts, *rest: learned.append(texts))
    return learned


def long_question(words: int) -> dict[str, Any]:
    text = " ".join(f"river {number} crosses the stone" for number in range(words))
    return question(2, question=f"{text} What is it?")


def test_of_a_long_question_the_end_with_the_answer_is_learned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """gpt2 of the zoo reads 128 tokens; a cut on the right would leave no answer to learn."""
    learned: list[list[Any]] = []
    monkeypatch.setattr(
        relearning, "_learn", lambda lm, texts, rate, weights: learned.append(texts)
    )
    lm = small_model("gpt2")
    rows = [long_question(80), *ROWS[:3]]
    with pytest.warns(UserWarning, match="contexts are cut on the left"):
        relearned(lm, own(poisons=question_set(*rows, better="lower")))
    longest = learned[0][0]
    assert len(longest) == 128
    assert lm.tokenizer.decode(longest).endswith("Answer: C")


def test_questions_of_a_chat_are_learned_with_the_tokens_that_are_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learned: list[list[Any]] = []
    monkeypatch.setattr(
        relearning, "_learn", lambda lm, texts, rate, weights: learned.append(texts)
    )
    lm = small_model("llama")
    template = "{{ bos_token }}[{{ messages[0]['content'] }}] "
    lm.tokenizer.chat_template = template
    lm = replace(lm, prompt_format=read_prompt_format("chat", lm.tokenizer))
    relearned(lm, own(poisons=question_set(*ROWS, better="lower")))
    beginning = lm.tokenizer.bos_token_id
    assert all(ids[0] == beginning != ids[1] for ids in learned[0])


def test_a_model_with_adapters_is_refused() -> None:
    lm = small_model("qwen2")
    config = peft.LoraConfig(r=2, target_modules=["down_proj"])
    peft.get_peft_model(lm.model, config)
    with pytest.raises(ValueError, match="puts adapters into a model, and this one has some"):
        relearned(lm, POISONS)


def test_guessing_gets_what_the_sets_say() -> None:
    even = question_set(*ROWS, better="lower", chance=0.5)
    other = question_set(*ROWS, better="lower")
    assert criterion_of(own(poisons=even), "relearned").chance == 0.5
    assert criterion_of(own(poisons=even, venoms=other), "relearned").chance is None
    assert criterion_of(POISONS, "relearned").chance == 0.25
    assert criterion_of(world.testbed(), "relearned").chance == 0.25


@pytest.mark.usefixtures("fast")
def test_every_rate_has_answers_of_its_own_among_what_criteria_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passes: list[int] = []

    def counted(*arguments: Any) -> Any:
        passes.append(1)
        return answered(*arguments)

    monkeypatch.setattr("interventions.criteria.question_answering.answered", counted)
    poisons = own(poisons=question_set(*ROWS, better="lower"))
    measure(small_model("qwen2"), poisons, ["relearned", "poisons"])
    assert len(passes) == 1 + len(LEARNING_RATES)


def test_the_docstring_says_the_learning_rates_and_how_long_is_learned() -> None:
    text = " ".join((relearned.__doc__ or "").split())
    assert LEARNING_RATES == (1e-4, 1e-3, 1e-2) and "1e-4, 1e-3 and 1e-2" in text
    assert f"{relearning.STEPS} steps of {relearning.BATCH} questions" in text
