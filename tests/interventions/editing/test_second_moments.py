"""Second moments (MEMIT, section 4.3): their values, their files, their keys."""

import dataclasses
import os
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import (
    GPTNeoConfig,
    GPTNeoForCausalLM,
    LlamaForCausalLM,
)

from interventions.composition import apply
from interventions.criteria.base import measure
from interventions.data import testbed as bed
from interventions.data.base import Data
from interventions.data.testbed import MODEL
from interventions.editing.memit import MEMIT
from interventions.editing.second_moments import _checksum, _enough, second_moments
from interventions.lm import LM
from tests.interventions.editing.reference import KEY, Reference, relative


@pytest.fixture
def statistics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where they are kept, empty at first."""
    monkeypatch.setenv("COMPOSABILITY_CACHE", str(tmp_path))
    return tmp_path / "statistics"


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """One entry per forward pass of a model of the testbed's class."""
    models_run: list[object] = []
    forward = LlamaForCausalLM.forward

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        models_run.append(self)
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(LlamaForCausalLM, "forward", counted)
    return models_run


def files(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


@pytest.mark.parametrize("rows", [7, 2048])
def test_second_moments_are_those_of_single_texts(
    lm: LM,
    small: Data,
    reference: Reference,
    statistics: Path,
    monkeypatch: pytest.MonkeyPatch,
    rows: int,
) -> None:
    monkeypatch.setattr("interventions.editing.second_moments._ROWS", rows)
    texts = [
        *small.statistics,
        " ".join(small.test_text),
    ]  # of unlike lengths: there is padding, and two batches
    assert len(texts) > 32
    ours = second_moments(lm, texts, (4, 1))
    assert set(ours) == {1, 4}
    for layer, moment in reference.moments(texts, (1, 4)).items():
        assert relative(ours[layer], moment) < 1e-6


def test_second_moments_are_kept_and_used_again_without_a_pass(
    lm: LM, small: Data, statistics: Path, passes: list[object]
) -> None:
    first = second_moments(lm, small.statistics, (1, 2))
    assert len(files(statistics)) == 2 and len(passes) == 2  # one a layer
    again = second_moments(LM.load(MODEL), small.statistics, (2, 1))
    assert len(passes) == 2
    assert all(torch.equal(again[layer], moment) for layer, moment in first.items())
    third = second_moments(lm, small.statistics, (1, 3))[3]  # only what is missing is computed
    assert len(passes) == 3 and len(files(statistics)) == 3
    alone = second_moments(lm, small.statistics, (3,))[3]
    assert len(passes) == 3 and torch.equal(alone, third)


def test_a_second_edit_batch_takes_no_pass_for_second_moments(
    lm: LM, small: Data, statistics: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memit = MEMIT(layers=(1, 2), steps=1, samples=8)
    apply(memit, lm, small, KEY)
    stored_files = files(statistics)
    monkeypatch.setattr("interventions.editing.second_moments._compute", None)
    apply(
        memit, LM.load(MODEL), dataclasses.replace(small, edits=bed.testbed(1).edits[:2]), "ab" * 16
    )
    assert files(statistics) == stored_files


def flipped(place: int) -> Callable[[bytes], bytes]:
    return lambda good: good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(flipped(0), id="header length"),
        pytest.param(flipped(8), id="header's brace"),
        pytest.param(flipped(40), id="checksum"),
        pytest.param(flipped(300), id="values"),
        pytest.param(lambda good: flipped(len(good) - 1)(good), id="last byte"),
        pytest.param(lambda good: good[:-1], id="a byte short"),
        pytest.param(lambda good: good[: len(good) // 2], id="half"),
        pytest.param(lambda good: good[:5], id="five bytes"),
        pytest.param(lambda good: b"", id="empty"),
        pytest.param(lambda good: good.replace(b'"F64"', b'"I64"'), id="dtype"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_computed_again_with_a_warning(
    lm: LM, small: Data, statistics: Path, damage: Callable[[bytes], bytes]
) -> None:
    texts = small.statistics[:4]
    good = second_moments(lm, texts, (0,))[0]
    (file,) = statistics.iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert file.read_bytes() != whole
    with pytest.warns(UserWarning, match="second moments .* are damaged: computed again"):
        again = second_moments(lm, texts, (0,))[0]
    assert torch.equal(again, good)
    assert file.read_bytes() == whole
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(second_moments(lm, texts, (0,))[0], good)


def test_moments_under_the_key_of_others_are_computed_again(
    lm: LM, small: Data, statistics: Path
) -> None:
    texts = small.statistics[:4]
    good = second_moments(lm, texts, (0,))[0]
    (first,) = statistics.iterdir()
    second_moments(lm, texts[:2], (0,))
    (second,) = set(statistics.iterdir()) - {first}
    first.write_bytes(second.read_bytes())
    with pytest.warns(UserWarning, match="second moments .* are damaged: computed again"):
        assert torch.equal(second_moments(lm, texts, (0,))[0], good)
    first.rename(statistics / "elsewhere")
    first.symlink_to(statistics / "elsewhere")
    with pytest.warns(UserWarning, match="second moments .* are damaged: computed again"):
        assert torch.equal(second_moments(lm, texts, (0,))[0], good)
    assert not first.is_symlink()


def test_moments_of_an_older_version_are_computed_again_and_say_why(
    lm: LM, small: Data, statistics: Path
) -> None:
    """Their checksum did not bind the key."""
    texts = small.statistics[:4]
    good = second_moments(lm, texts, (0,))[0]
    (file,) = statistics.iterdir()
    save_file({"moment": good}, file, metadata={"sha256": _checksum("", good)})
    with pytest.warns(UserWarning, match="do not say whose they are: computed again"):
        assert torch.equal(second_moments(lm, texts, (0,))[0], good)


def test_the_key_is_of_the_weights_up_to_the_layer_the_texts_and_the_layer(
    lm: LM, small: Data, statistics: Path
) -> None:
    def new(lm: LM, texts: Sequence[str], layer: int) -> bool:
        known = files(statistics)
        second_moments(lm, texts, (layer,))
        return files(statistics) != known

    def nudge(weight: Tensor) -> None:
        with torch.no_grad():
            weight.view(-1)[7] += 1e-3

    statistics.mkdir()
    texts, model = list(small.statistics[:4]), lm.model.model
    assert new(lm, texts, 2) and not new(lm, texts, 2)
    assert new(lm, texts, 1)
    assert new(lm, texts[:3], 2) and new(lm, [*texts[:3], texts[3] + " "], 2)
    assert new(lm, [texts[0] + texts[1], *texts[2:]], 2) and new(
        lm, [texts[0], texts[1] + texts[2], texts[3]], 2
    )
    nudge(model.layers[3].mlp.down_proj.weight)  # what comes after the layer does not enter
    assert not new(lm, texts, 2)
    for weight in (
        model.embed_tokens.weight,
        model.layers[0].self_attn.q_proj.weight,
        model.layers[1].input_layernorm.weight,
        model.layers[2].mlp.gate_proj.weight,
    ):
        nudge(weight)
        assert new(lm, texts, 2)
    assert not new(LM.load(MODEL), texts, 2)  # the first ones are still there
    assert new(LM.load(MODEL, dtype="bfloat16"), texts, 2)


def test_long_texts_are_cut_and_the_length_enters_the_key(
    lm: LM, small: Data, reference: Reference, statistics: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = small.statistics[:4]
    whole = second_moments(lm, texts, (1,))[1]
    monkeypatch.setattr("interventions.editing.second_moments._MAX_TOKENS", 4)
    cut = second_moments(lm, texts, (1,))[1]
    assert len(files(statistics)) == 2 and not torch.allclose(cut, whole)
    first_tokens = [lm.tokenizer.encode(text)[1:4] for text in texts]
    shortened = [lm.tokenizer.decode(ids) for ids in first_tokens]
    assert [lm.tokenizer.encode(text)[1:] for text in shortened] == first_tokens
    assert relative(cut, reference.moments(shortened, (1,))[1]) < 1e-6


def test_the_key_is_of_everything_before_the_layer(lm: LM, small: Data, statistics: Path) -> None:
    """A tiny random GPT-Neo learns its positions: with others, other inputs reach the layer."""
    torch.manual_seed(0)
    shape: dict[str, Any] = {"hidden_size": 16, "num_layers": 2, "num_heads": 2}
    attention: dict[str, Any] = {
        "attention_types": [[["global"], 2]],
        "max_position_embeddings": 128,
    }
    model = (
        GPTNeoForCausalLM(GPTNeoConfig(vocab_size=2560, **shape, **attention))
        .eval()
        .requires_grad_(False)
    )
    neo = LM(model, lm.tokenizer)
    first = second_moments(neo, small.statistics[:4], (1,))[1]
    model.transformer.wpe.weight.mul_(30)
    assert not torch.equal(second_moments(neo, small.statistics[:4], (1,))[1], first)


def test_a_budget_of_tokens_takes_some_of_the_texts_from_all_over_always_the_same(
    lm: LM, small: Data
) -> None:
    texts = tuple(f"{index} {text}" for index, text in enumerate(bed.testbed().statistics[:200]))
    inputs = 512
    chosen = _enough(lm, texts, 4 * inputs)
    lengths = [len(ids) for ids in lm.tokenizer(chosen)["input_ids"]]
    assert 4 * inputs <= sum(lengths) < 4 * inputs + max(lengths)
    places = [texts.index(text) for text in chosen]
    assert places == sorted(places) and len(set(places)) == len(places)
    assert min(places) < 40 and max(places) > 160
    assert chosen == _enough(lm, texts, 4 * inputs)
    assert _enough(lm, texts, 10**9) == list(texts)
    within = second_moments(lm, texts, (1,), tokens_per_input=4)[1]
    assert torch.equal(within, second_moments(lm, chosen, (1,))[1])


@pytest.mark.slow
def test_edits_with_forty_tokens_an_input_are_those_with_all_texts() -> None:
    """The paper's profile; mean of ten batches, within .02 of the testbed's 300 an input."""
    names = ["edit_success", "edit_generalization", "edit_locality"]
    differences = []
    for batch in range(10):
        data = bed.testbed(edit_batch=batch)
        few, every = (
            measure(apply(MEMIT(tokens_per_input=share), LM.load(MODEL), data, KEY), data, names)
            for share in (40.0, 0.0)
        )
        differences.append([few[name].value - every[name].value for name in names])
    assert torch.tensor(differences).mean(0).abs().max() < 0.02


def test_statistics_stay_within_the_caches_size_those_used_longest_ago_go_first(
    lm: LM, small: Data, statistics: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = small.statistics[:4]
    for layer in (0, 1, 2):
        second_moments(lm, texts, (layer,))
        for file in statistics.iterdir():
            os.utime(file, (time.time() - 100, file.stat().st_mtime - 100))
    oldest, middle, newest = sorted(statistics.iterdir(), key=lambda file: file.stat().st_mtime)
    second_moments(lm, texts, (0,))  # used again: now the second is the oldest
    size = newest.stat().st_size
    monkeypatch.setenv("COMPOSABILITY_CACHE_GIB", str(3.5 * size / 2**30))
    second_moments(lm, texts, (3,))
    left = files(statistics)
    assert len(left) == 3 and middle.name not in left and oldest.name in left
    # of a bound that is too small for one, what was just computed stays
    monkeypatch.setenv("COMPOSABILITY_CACHE_GIB", "0")
    second_moments(lm, texts, (4,))
    assert len(files(statistics)) == 1
