"""What a model predicts and answers does not depend on what stands beside a text in its batch."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from interventions import answers, padding
from interventions.answers import Continuation, greedy_answers
from interventions.base import make
from interventions.compression.calibration import calibrated_blocks
from interventions.criteria.base import measure
from interventions.data.testbed import MODEL
from interventions.errors import InvalidInput
from interventions.lm import LM
from tests.anatomies.texts import sentences, tiny_data
from tests.interventions.families import family

PROMPTS = [[7, 30, 12, 44], [9, 21, 50, 33, 18, 40, 25, 11, 60], [14, 52, 8, 37, 29, 61]]
# plain passes answer alike in any precision; in a batch, half precision rounds otherwise
ANSWERERS = [("gpt", torch.float32)] + [
    (name, dtype)
    for name in ("reformer", "roberta", "roformer", "xlstm")
    for dtype in (torch.float32, torch.bfloat16)
]


def logits(lm: LM, ids: list[int]) -> torch.Tensor:
    """Return the logits (tokens, vocabulary) of one text by itself."""
    with torch.no_grad():
        one = torch.tensor([ids])
        output: Any = lm.model(input_ids=one, attention_mask=torch.ones_like(one), use_cache=False)
    return output.logits[0].float()


def one_by_one(lm: LM, prompt: list[int], count: int) -> list[int]:
    ids = list(prompt)
    for _ in range(count):
        ids.append(int(logits(lm, ids)[-1].argmax()))
    return ids[len(prompt) :]


@pytest.mark.parametrize(("name", "dtype"), ANSWERERS)
def test_answers_are_the_likeliest_tokens_of_each_prompt_by_itself(
    name: str, dtype: torch.dtype
) -> None:
    lm = family(name)
    lm.model.to(dtype)
    lm.model.generation_config.eos_token_id = None
    asked = [Continuation(prompt, [0] * 6) for prompt in PROMPTS]
    special = answers.special_ids(lm.tokenizer)
    expected = [
        [token for token in one_by_one(lm, prompt, 6) if token not in special] for prompt in PROMPTS
    ]
    assert greedy_answers(lm, asked) == expected
    # OpenAI's first GPT alone generates in a padded batch what it predicts
    assert answers.generates_what_it_predicts(lm, PROMPTS) == (name == "gpt")


@pytest.mark.parametrize("name", ["gpt", "reformer", "roberta", "roformer", "xlstm"])
def test_losses_in_a_padded_batch_are_those_of_each_text_by_itself(name: str) -> None:
    lm = family(name)
    texts = sentences(4, seed=7)
    encoded = lm.encode(texts)
    with torch.no_grad():
        losses, counted = lm.token_losses(encoded, lm.text_labels(encoded))
    for row, text in enumerate(texts):
        ids = lm.tokenizer(text)["input_ids"]
        expected = F.cross_entropy(logits(lm, ids)[:-1], torch.tensor(ids[1:]), reduction="none")
        torch.testing.assert_close(losses[row][counted[row]], expected, rtol=1e-3, atol=1e-4)
    assert padding.pads_harmlessly(lm, lm.tokenizer(list(texts))["input_ids"])


def test_a_plain_answer_ends_where_the_model_ends_it() -> None:
    lm = family("roberta")
    lm.model.generation_config.eos_token_id = None
    first, second = one_by_one(lm, PROMPTS[0], 2)
    lm.model.generation_config.eos_token_id = [second]
    assert greedy_answers(lm, [Continuation(PROMPTS[0], [0] * 5)]) == [[first, second]]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_testbed_is_generated_and_read_in_batches(dtype: str) -> None:
    lm = LM.load(MODEL, dtype=dtype)
    assert answers.generates_what_it_predicts(lm, PROMPTS)
    assert padding.unpadded(lm, PROMPTS) == [PROMPTS]


def test_a_model_is_tried_once(lm: LM, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trials leave the random state as it was."""
    before = torch.get_rng_state()
    answers.generates_what_it_predicts(lm, PROMPTS)
    padding.pads_harmlessly(lm, PROMPTS)
    assert torch.equal(torch.get_rng_state(), before)
    monkeypatch.setattr(lm.model, "forward", None)
    assert answers.generates_what_it_predicts(lm, PROMPTS[:1])
    assert padding.pads_harmlessly(lm, PROMPTS[1:])


def test_a_model_that_diverged_is_read_and_trained_on_in_batches(lm: LM) -> None:
    """What is NaN by itself is not so by padding; what is NaN by padding only is."""
    values = torch.ones(2, 3) * torch.arange(3.0)
    assert not padding.alike(values * math.nan, values)
    lm.model.model.norm.weight.fill_(math.nan)
    assert padding.pads_harmlessly(lm, PROMPTS)
    make("rmu", layer=2, steps=1, batch=2).apply(lm, tiny_data())


@pytest.fixture
def leaking(lm: LM) -> LM:
    """A model of which every prediction depends on all tokens of the row, padding too."""

    def leak(module: Any, args: Any, output: Any) -> None:
        output.logits = output.logits * (1 + output.logits[..., :7].mean((1, 2))[:, None, None])

    lm.model.register_forward_hook(leak)
    return lm


def test_perplexity_reads_one_window_at_a_time_where_padding_would_change_it(leaking: LM) -> None:
    data = tiny_data()
    losses: list[float] = []
    for text in data.test_text:
        ids = leaking.tokenizer.encode(text)
        for start in range(0, len(ids), data.window):
            window = ids[start : start + data.window]
            if len(window) > 1:
                predicted = logits(leaking, window)[:-1]
                targets = torch.tensor(window[1:])
                losses += F.cross_entropy(predicted, targets, reduction="none").tolist()
    value = measure(leaking, data, ["wikitext_ppl"])["wikitext_ppl"].value
    assert value == pytest.approx(math.exp(sum(losses) / len(losses)), 1e-4)


def test_calibration_puts_texts_of_one_length_together_where_padding_counts(leaking: LM) -> None:
    lengths: list[torch.Size] = []
    block = leaking.model.model.layers[0]
    texts = [*sentences(4, seed=7), sentences(1, seed=7)[0]]
    _, observe = next(calibrated_blocks(leaking, texts))
    block.mlp.register_forward_pre_hook(lambda module, args: lengths.append(args[0].shape[:2]))
    observe(lambda name, inputs: None)
    alone = {len(leaking.tokenizer.encode(text)) for text in texts}
    assert sorted(tokens for _, tokens in lengths) == sorted(alone)
    assert sum(rows for rows, _ in lengths) == len(texts)


def test_rmu_refuses_a_model_whose_texts_padding_changes(leaking: LM) -> None:
    before = leaking.fingerprint()
    with pytest.raises(InvalidInput, match="it predicts a text otherwise where padding follows"):
        make("rmu", layer=2, steps=1, batch=2).apply(leaking, tiny_data())
    assert leaking.fingerprint() == before


def test_a_generate_of_the_models_own_is_taken_at_its_word(
    lm: LM, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What somebody else's ``generate`` answers is the model's answer, whatever it predicts."""

    def generate(**encoded: Any) -> torch.Tensor:
        ids = encoded["input_ids"]
        return torch.cat([ids, torch.full((len(ids), 2), 7)], 1)

    monkeypatch.setattr(lm.model, "generate", generate, raising=False)
    targets = [Continuation(prompt, [0, 0]) for prompt in PROMPTS]
    assert greedy_answers(lm, targets) == [[7, 7]] * len(PROMPTS)
