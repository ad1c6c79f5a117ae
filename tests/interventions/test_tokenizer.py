"""A tokenizer that does not fit its model, or cannot be used, is refused before a run."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from interventions.data.testbed import MODEL
from interventions.lm import LM, skeleton
from interventions.tokenizer import (
    _forget_last_call,
    check_token_ids,
    load_tokenizer,
    save_tokenizer,
)
from tests.interventions.model_folders import model_folder
from tests.interventions.test_model_source import refused, refused_twice

TOKENS = 2560  # of the testbed's tokenizer, and rows of its embedding


class PanicException(BaseException):
    """What pyo3 raises where code in Rust panics: by that name, and no Exception."""


def folder_with_token(parent: Path, content: str, special: bool) -> Path:
    """Return the testbed's model with a token that it has no embedding of."""
    folder = model_folder(parent)
    document = json.loads((folder / "tokenizer.json").read_text())
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    document["added_tokens"].append({"id": TOKENS, "content": content, "special": special, **flags})
    (folder / "tokenizer.json").write_text(json.dumps(document))
    return folder


@pytest.mark.parametrize(
    ("content", "special"), [(" the", True), (" the", False), ("<image>", False)]
)
def test_a_token_of_texts_without_an_embedding_is_refused(
    content: str, special: bool, tmp_path: Path
) -> None:
    line = refused_twice(folder_with_token(tmp_path, content, special))
    assert f"token {content!r} has the number 2560, but the model has embeddings of 2560" in line


def test_a_special_token_in_brackets_may_lack_an_embedding(tmp_path: Path) -> None:
    """As Gemma 3's text models have the tokenizer of those that see: ``<image_soft_token>``."""
    folder = folder_with_token(tmp_path, "<image>", special=True)
    skeleton(folder)
    assert LM.load(folder).tokenizer.convert_tokens_to_ids("<image>") == TOKENS


def test_a_padding_token_needs_an_embedding(tmp_path: Path) -> None:
    folder = model_folder(tmp_path, tokenizer={"pad_token": "[PAD]"})
    assert "token '[PAD]' has the number 2560" in refused_twice(folder)


def test_a_vocabulary_larger_than_the_embedding_is_refused() -> None:
    tokenizer = load_tokenizer(MODEL)
    check_token_ids(MODEL, tokenizer, TOKENS)
    line = refused(lambda: check_token_ids(MODEL, tokenizer, TOKENS - 1))
    assert "has the number 2559, but the model has embeddings of 2559 tokens" in line


def test_a_tokenizer_that_cannot_pad_is_refused(tmp_path: Path) -> None:
    folder = model_folder(tmp_path, tokenizer={"pad_token": None, "eos_token": None})
    assert "its tokenizer has neither a pad_token nor an eos_token" in refused_twice(folder)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (5, "TypeError"),
        ([], "gives no attention_mask"),
        (["input_ids"], "gives no attention_mask"),
        (["attention_mask", "input_ids"], "You should supply an encoding"),
        (["other"], "gives no attention_mask"),
    ],
)
def test_names_of_inputs_that_are_odd_are_refused(names: Any, reason: str, tmp_path: Path) -> None:
    folder = model_folder(tmp_path, tokenizer={"model_input_names": names})
    assert reason in refused_twice(folder)


def test_a_pattern_that_is_none_is_refused(tmp_path: Path) -> None:
    folder = model_folder(tmp_path)
    document = json.loads((folder / "tokenizer.json").read_text())
    pattern = {"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": False}
    (folder / "tokenizer.json").write_text(json.dumps(document | {"pre_tokenizer": pattern}))
    assert "its tokenizer cannot be used: Exception: Oniguruma" in refused_twice(folder)


@pytest.mark.parametrize("where", ["reading its files", "reading a text"])
def test_a_panic_of_a_tokenizer_is_one_line(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def panic(*arguments: Any, **options: Any) -> None:
        raise PanicException("called `Result::unwrap()`\non an `Err` value")

    if where == "reading a text":
        monkeypatch.setattr(PreTrainedTokenizerFast, "__call__", panic)
    else:
        monkeypatch.setattr(AutoTokenizer, "from_pretrained", panic)
    line = refused_twice(MODEL)
    assert "its tokenizer cannot be used: PanicException: called `Result::unwrap()` on" in line


def test_an_interruption_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", interrupt)
    with pytest.raises(KeyboardInterrupt):
        load_tokenizer(MODEL)


def test_what_was_tried_leaves_no_trace_in_the_files(tmp_path: Path) -> None:
    tokenizer: PreTrainedTokenizerBase = load_tokenizer(MODEL)
    tokenizer.save_pretrained(tmp_path / "tried")
    save_tokenizer(tokenizer, tmp_path / "saved")
    for file in (tmp_path / "saved").iterdir():
        assert file.read_bytes() == (tmp_path / "tried" / file.name).read_bytes()


def test_a_tokenizer_is_saved_as_if_it_had_been_local() -> None:
    how_loaded = load_tokenizer(MODEL).init_kwargs
    assert (how_loaded["is_local"], how_loaded["local_files_only"]) == (True, False)


def test_a_backend_forgets_what_it_padded_and_cut_and_a_slow_tokenizer_has_none() -> None:
    forgotten: list[str] = []
    backend = SimpleNamespace(
        no_padding=lambda: forgotten.append("padding"),
        no_truncation=lambda: forgotten.append("truncation"),
    )
    fast: Any = SimpleNamespace(backend_tokenizer=backend)
    slow: Any = SimpleNamespace()
    for tokenizer in (fast, slow):
        _forget_last_call(tokenizer)
    assert sorted(forgotten) == ["padding", "truncation"]
    fast.save_pretrained = lambda folder: forgotten.append(folder.name)
    save_tokenizer(fast, Path("folder"))
    assert sorted(forgotten[2:4]) == ["padding", "truncation"] and forgotten[4:] == ["folder"]
