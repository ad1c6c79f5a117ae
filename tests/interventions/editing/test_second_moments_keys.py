"""Which texts second moments are of, what their keys go by, and what is said of a full disk."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from safetensors import SafetensorError
from torch import Tensor

from interventions import cache
from interventions.editing import second_moments as moments
from interventions.lm import LM
from tests.interventions.merging.branches import small_lm


class Words:
    """A tokenizer of words, which counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, texts: list[str], truncation: bool, max_length: int) -> dict[str, Any]:
        self.calls += 1
        words = [text.split() for text in texts]
        return {"input_ids": [row[:max_length] if truncation else row for row in words]}


@pytest.mark.parametrize(("context", "most"), [(64, 64), (None, 512), (4096, 512)])
def test_a_text_is_cut_to_512_tokens_or_what_the_model_reads(
    context: int | None, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moments, "context_length", lambda model: context)
    lm: Any = SimpleNamespace(model=None)
    assert moments._most_tokens(lm) == most


def test_tokens_are_counted_for_the_widest_of_the_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moments, "blocks", lambda model: [3, 9, 5])
    monkeypatch.setattr(
        moments, "down_projection", lambda width: SimpleNamespace(in_features=width)
    )
    lm: Any = SimpleNamespace(model=None)
    assert moments._most_inputs(lm, (0, 2)) == 5
    assert moments._most_inputs(lm, (2, 1, 0)) == 9


def test_texts_are_drawn_always_alike_until_there_are_enough_tokens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The seed's order is d, f, a, b, c, e; a text counts by what it is cut to: 3 words."""
    monkeypatch.setattr(moments, "context_length", lambda model: 3)
    monkeypatch.setattr(moments, "_BATCH", 2)
    texts = ["a", "b", "c c", "d d d d d d", "e e", "f"]

    def drawn(tokens: float) -> tuple[str, int]:
        words = Words()
        lm: Any = SimpleNamespace(model=None, tokenizer=words)
        return "".join(text[0] for text in moments._enough(lm, texts, tokens)), words.calls

    assert [drawn(tokens) for tokens in (1, 3, 3.5, 4, 5, 6, 7, 8, 99)] == [
        ("d", 1),
        ("d", 1),
        ("df", 1),
        ("df", 1),
        ("adf", 2),
        ("abdf", 2),
        ("abcdf", 3),
        ("abcdf", 3),
        ("abcdef", 3),
    ]


def test_a_key_goes_by_what_is_known_of_a_model_in_any_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lm = small_lm("llama")
    keys = []
    for facts in ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1, "b": 3}):
        monkeypatch.setattr(moments, "_computing_facts", lambda model, facts=facts: facts)
        keys.append(moments._keys(lm, ["a text"], (0, 1)))
    assert keys[0] == keys[1] and keys[0].keys() == {0, 1} and len(keys[0][0]) == 32
    assert len({*keys[0].values(), *keys[2].values()}) == 4


class Constant:
    """A tokenizer that gives every text the same token."""

    def __init__(self, token: int) -> None:
        self.token = token

    def get_vocab(self) -> dict[str, int]:
        return {"a": 1}

    def __call__(self, texts: list[str]) -> dict[str, list[list[int]]]:
        return {"input_ids": [[self.token] for _ in texts]}


def test_a_key_goes_by_every_text_and_by_the_tokens_of_the_first() -> None:
    lm = small_lm("llama")

    def key(token: int, *texts: str) -> str:
        lm.tokenizer = cast(Any, Constant(token))
        return moments._keys(lm, texts, (0,))[0]

    texts = [("a", "bc"), ("ab", "c"), ("bc", "a"), ("abc",), ("a", "bc", "")]
    assert len({key(1, *several) for several in texts}) == 5
    assert key(1, "a") == key(1, "a") != key(2, "a")
    assert key(1, *["a"] * 40) != key(1, *["a"] * 39, "b")


def test_a_models_facts_are_all_but_those_of_where_it_came_from() -> None:
    lm = small_lm("llama")
    facts = moments._computing_facts(lm.model)
    configuration = lm.model.config.to_dict()
    origin = {"_name_or_path", "architectures", "transformers_version", "dtype", "use_cache"}
    assert facts.keys() == configuration.keys() - origin
    assert facts["hidden_size"] == configuration["hidden_size"]


def test_weights_are_hashed_by_name_in_any_order() -> None:
    first, second = torch.ones(2), torch.zeros(3)
    digests = []
    for state in ({"a": first, "b": second}, {"b": second, "a": first}, {"a": second, "b": first}):
        hashed = hashlib.sha256()
        moments._update(hashed, state)
        digests.append(hashed.hexdigest())
    assert digests[0] == digests[1] != digests[2]


def test_equal_bytes_of_other_shapes_dtypes_and_names_are_other_weights() -> None:
    digests = set()
    for name, weight in (
        ("a", torch.zeros(2, 3)),
        ("b", torch.zeros(2, 3)),
        ("a", torch.zeros(3, 2)),
        ("a", torch.zeros(2, 3, dtype=torch.int32)),
    ):
        hashed = hashlib.sha256()
        moments._update(hashed, {name: weight})
        digests.add(hashed.hexdigest())
    assert len(digests) == 4


@pytest.mark.parametrize(
    ("error", "reason"),
    [(OSError(28, "No space left on device"), "No space left on device"), (OSError("odd"), "odd")],
)
def test_moments_that_cannot_be_kept_are_a_warning_that_says_why(
    error: OSError, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for raised in (error, SafetensorError(reason)):

        def fail(file: object, raised: Exception = raised) -> None:
            raise raised

        monkeypatch.setattr(moments, "whole_file", fail)
        with pytest.warns(UserWarning, match=f"^second moments are not kept: {reason}$"):
            moments._save(cast(Any, SimpleNamespace(stem="key")), torch.eye(2))


def test_what_is_stored_is_marked_as_used_and_the_rest_is_computed_and_stored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("COMPOSABILITY_CACHE", str(tmp_path))
    folder = tmp_path / "statistics"
    folder.mkdir()
    used, removed, missing = (folder / f"key {layer}.safetensors" for layer in (3, 1, 2))
    used.touch()
    os.utime(used, (1, 1))
    stored = {used: torch.tensor(3.0), removed: torch.tensor(1.0)}
    computed, calls = torch.tensor(2.0), list[tuple[object, ...]]()

    def compute(lm: LM, texts: Sequence[str], layer: int) -> Tensor:
        calls.append((list(texts), layer))
        return computed

    monkeypatch.setattr(moments, "_keys", lambda lm, texts, layers: {n: f"key {n}" for n in layers})
    monkeypatch.setattr(moments, "_load", stored.get)
    monkeypatch.setattr(moments, "_compute", compute)
    monkeypatch.setattr(moments, "_save", lambda *saved: calls.append(saved))
    monkeypatch.setattr(cache, "warn_if_others_may_write", lambda *folders: calls.append(folders))
    monkeypatch.setattr(cache, "bound_statistics", lambda files: calls.append(tuple(files)))
    lm: Any = SimpleNamespace(device=torch.device("cpu"))
    by_layer = moments.second_moments(lm, ["a", "b"], (3, 1, 2))
    assert by_layer == {3: stored[used], 1: stored[removed], 2: computed}
    saved = [(["a", "b"], 2), (missing, computed)]
    assert calls == [(tmp_path,), *saved, (used, removed, missing)]
    assert used.stat().st_mtime > 1


def test_a_budget_is_of_tokens_for_each_input_of_the_widest_layer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is stored of a rehearsal, in which nothing is computed."""
    monkeypatch.setattr(moments, "_most_inputs", lambda lm, layers: 2 * max(layers))
    monkeypatch.setattr(moments, "_enough", lambda lm, texts, tokens: [texts[0], tokens])
    monkeypatch.setattr(moments, "_compute", lambda *computed: computed[1:])
    lm: Any = SimpleNamespace(device=torch.device("meta"))
    by_layer: Any = moments.second_moments(lm, ["a", "b"], (4, 1), 2.5)
    assert by_layer == {4: (["a", 20.0], 4), 1: (["a", 20.0], 1)}
    by_layer = moments.second_moments(lm, ["a", "b"], (4,))
    assert by_layer == {4: (["a", "b"], 4)}
