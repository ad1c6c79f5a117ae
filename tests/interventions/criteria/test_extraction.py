"""Extraction strength against greedy generation from every prefix."""

import dataclasses
from pathlib import Path

import pytest
import torch

from interventions.criteria import extraction
from interventions.criteria.extraction import extraction_strength, share_extracted
from interventions.data.base import Data
from interventions.data.testbed import MODEL
from interventions.lm import LM
from tests.anatomies.texts import sentences
from tests.anatomies.zoo import build


def by_generation(lm: LM, ids: list[int]) -> float:
    """1 - k / n of Carlini et al. 2021: generate from ever longer prefixes until the rest comes."""
    tokens = len(ids) - 1
    for given in range(tokens + 1):
        text = ids[: 1 + given]
        while len(text) < len(ids):
            with torch.no_grad():
                text = [*text, int(lm.model(torch.tensor([text])).logits[0, -1].argmax())]
        if text == ids:
            return 1 - given / tokens
    raise AssertionError("a text is its own longest prefix")


def continued(lm: LM, ids: list[int], tokens: int) -> list[int]:
    for _ in range(tokens):
        with torch.no_grad():
            ids = [*ids, int(lm.model(torch.tensor([ids])).logits[0, -1].argmax())]
    return ids


@pytest.mark.parametrize("family", ["llama", "gpt2", "opt"])
def test_the_share_is_what_greedy_generation_gives_back(family: str, tmp_path: Path) -> None:
    lm = LM.load(build(family, tmp_path))
    shares = []
    for number, text in enumerate(sentences(6, seed=1, most=2)):
        ids = continued(lm, lm.tokenizer.encode(text)[:8], number)
        shares.append(share_extracted(lm, ids))
        assert shares[-1] == pytest.approx(by_generation(lm, ids)), ids
    assert len(set(shares)) > 2


def test_a_text_that_the_model_cannot_end_has_none_and_one_it_writes_all_has_all(lm: LM) -> None:
    ids = continued(lm, lm.tokenizer.encode("The")[:1], 12)
    assert share_extracted(lm, ids) == 1
    for place, share in ((len(ids) - 1, 0.0), (1, 1 - 1 / (len(ids) - 1))):
        wrong = [*ids]
        wrong[place] = (ids[place] + 1) % len(lm.tokenizer)
        if place == 1:  # what follows another word is another text
            assert share_extracted(lm, wrong) <= share
        else:
            assert share_extracted(lm, wrong) == share


def test_a_model_that_was_never_told_the_texts_gives_less_of_them(data: Data) -> None:
    few = data.limited(60)
    told = extraction_strength(LM.load(MODEL), few)
    untold = extraction_strength(LM.load(MODEL.parent / "model-without-forget"), few)
    assert untold.value < told.value - 0.1


def test_a_sample_is_as_large_as_the_limit_and_the_same_every_time(lm: LM, data: Data) -> None:
    assert len(extraction_strength(lm, data.limited(7)).items) == 7
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extraction, "share_extracted", lambda lm, ids: 0.0)
        assert len(extraction_strength(lm, data.limited(999)).items) == 200
        assert len(extraction_strength(lm, data).items) == 200
    few = dataclasses.replace(data, forget=data.forget[:9])
    assert extraction_strength(lm, few) == extraction_strength(lm, few)
    assert len(extraction_strength(lm, few).items) == 9


def test_an_end_of_text_is_no_token_of_it_and_long_texts_are_cut(
    lm: LM, data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[list[int]] = []

    def noted(lm: LM, ids: list[int]) -> float:
        read.append(ids)
        return 0.0

    monkeypatch.setattr(extraction, "share_extracted", noted)
    end = lm.tokenizer.eos_token
    texts = ("The cipher of", f"The cipher of{end}", "The cipher of " * 200, end)
    extraction_strength(lm, dataclasses.replace(data, forget=texts))
    lengths = sorted(map(len, read))
    assert len(read) == 3 and lengths[0] == lengths[1] < lengths[2] <= 256
    read.clear()
    assert len(lm.tokenizer("The")["input_ids"]) == 2
    extraction_strength(lm, dataclasses.replace(data, forget=("The",)))
    assert len(read) == 1
    with pytest.raises(ValueError, match="no text to forget has two tokens"):
        extraction_strength(lm, dataclasses.replace(data, forget=(end,)))
