"""Which weights learn on every anatomy, and how much of a text is read."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from transformers import BatchEncoding

from interventions import training
from interventions.anatomy import blocks
from interventions.editing.ft import FT
from interventions.errors import InvalidInput
from interventions.lm import LM
from interventions.training import (
    add_gradients,
    block_weights,
    characters,
    check_writers,
    label_losses,
    readable,
    row_slices,
    writers,
)
from interventions.unlearning.rmu import RMU
from tests.anatomies.references import is_router
from tests.anatomies.tokenizers import tokenizer
from tests.anatomies.zoo import ANATOMIES

NAMES = ("llama", "gpt2", "gpt-neox", "phi3", "gemma3", "opt", "mixtral", "deepseek-v3")


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    return {name: ANATOMIES[name].model() for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_the_mlps_writers_learn(models: dict[str, Any], name: str) -> None:
    anatomy, model = ANATOMIES[name], models[name]
    names = {id(parameter): path for path, parameter in model.named_parameters()}
    expected = [
        f"{anatomy.blocks}.{layer}.{path}"
        for layer in (0, 2)
        for path in anatomy.writers
        if any(f"{anatomy.blocks}.{layer}.{path}{end}" in names.values() for end in ("", ".weight"))
    ]
    learned = [names[id(weight)].removesuffix(".weight") for weight in writers(model, (0, 2))]
    assert sorted(learned) == sorted(expected) and len(learned) == len(set(learned)) >= 2


@pytest.mark.parametrize("name", NAMES)
def test_all_of_a_block_learns_but_its_router(models: dict[str, Any], name: str) -> None:
    block = blocks(models[name])[2]
    learned = {id(weight) for weight in block_weights(block)}
    still = {path for path, parameter in block.named_parameters() if id(parameter) not in learned}
    assert still == {path for path, _ in block.named_parameters() if is_router(path)}
    assert bool(still) == (name in ("mixtral", "deepseek-v3"))


def test_a_layer_that_is_not_there_is_refused(models: dict[str, Any]) -> None:
    check_writers(models["llama"], (0, 2), "ft.layers")
    for layers, message in (((3,), "names layer 3, but"), ((1, 1), "names layer 1 twice")):
        with pytest.raises(InvalidInput, match=f"^ft.layers {message}"):
            check_writers(models["llama"], layers, "ft.layers")


def test_experts_of_which_only_one_would_learn_are_refused() -> None:
    def expert() -> nn.ModuleDict:
        return nn.ModuleDict({"up": nn.Linear(4, 6), "down": nn.Linear(6, 4)})

    attention = nn.ModuleDict({"in": nn.Linear(4, 4)})
    mlp = nn.ModuleDict({"experts": nn.ModuleList([expert(), expert()])})
    block = nn.ModuleDict({"attn": attention, "mlp": mlp})
    model: Any = nn.ModuleDict({"layers": nn.ModuleList([block] * 3)})
    for step, field in ((FT(layers=(0,)), "ft.layers"), (RMU(layer=2), "rmu.layer")):
        with pytest.raises(InvalidInput, match=rf"^{field} names layer 0, whose experts are modul"):
            step.check(model)
    mlp["experts"] = nn.ModuleList([expert()])[0]
    mlp["shared_experts"] = mlp.pop("experts")
    check_writers(model, (0,), "ft.layers")
    block["mixer"] = nn.Conv1d(4, 4, 1)
    with pytest.raises(InvalidInput, match=r"not known here: 0\.mixer\.weight \(4, 4, 1\) is no"):
        check_writers(model, (0,), "ft.layers")


def test_no_more_tokens_are_read_than_the_model_can(models: dict[str, Any]) -> None:
    assert [readable(models["llama"], tokens) for tokens in (127, 128, 129)] == [127, 128, 128]
    assert readable(ANATOMIES["bloom"].model(), 4096) == 4096  # ALiBi: nothing bounds it


def random_lm(name: str) -> LM:
    words = tokenizer("bytes+bos")
    words.pad_token = words.eos_token
    return LM(ANATOMIES[name].model().eval().requires_grad_(False), words)


@pytest.mark.parametrize("name", [*NAMES, "gemma2"])
def test_losses_at_labels_are_those_of_whole_passes_and_so_are_their_gradients(name: str) -> None:
    """Where a label counts only; gemma2 caps its logits, and has tied embeddings."""
    lm = random_lm(name)
    encoded, labels = lm.encode_pairs([("one two three", " four"), ("one", " two three four five")])
    weights = writers(lm.model, (1,))
    for weight in weights:
        weight.requires_grad_(True)
    head_inputs: list[int] = []
    lm.model.get_output_embeddings().register_forward_pre_hook(
        lambda module, args: head_inputs.append(args[0].flatten(0, -2).shape[0])
    )
    results = []
    for losses_of in (label_losses, LM.token_losses):
        losses, counted = losses_of(lm, encoded, labels)
        gradients = torch.autograd.grad(losses.square().sum(), weights)
        results.append((losses.detach(), counted, *gradients))
    for ours, expected in zip(*results, strict=True):
        assert (ours.float() - expected.float()).norm() < 1e-4 * expected.float().norm()
    assert head_inputs[-2:] == [int((labels[:, 1:] != -100).sum()), labels.numel()]


def test_where_no_label_counts_the_losses_are_0_and_have_a_gradient() -> None:
    lm = random_lm("gpt2")
    encoded = lm.encode(["one two"])
    writers(lm.model, (1,))[0].requires_grad_(True)
    losses, counted = label_losses(lm, encoded, torch.full_like(encoded["input_ids"], -100))
    losses.sum().backward()
    assert not counted.any() and not losses.any()


@pytest.mark.parametrize(
    ("lengths", "tokens", "together", "expected"),
    [
        ([], 5, 1, []),
        ([9], 5, 1, [(0, 1)]),
        ([2, 2, 2], 4, 1, [(0, 2), (2, 3)]),
        ([1, 1, 4], 6, 1, [(0, 2), (2, 3)]),  # three rows of four would be twelve
        ([1, 3, 1, 1, 5, 5], 8, 2, [(0, 2), (2, 4), (4, 6)]),
        ([1, 2, 2, 1], 8, 2, [(0, 4)]),
        ([3, 0, 0, 0], 2, 1, [(0, 1), (1, 4)]),
    ],
)
def test_slices_are_as_many_rows_as_fit_with_their_padding(
    lengths: list[int], tokens: int, together: int, expected: list[tuple[int, int]]
) -> None:
    assert row_slices(lengths, tokens, together) == [slice(*ends) for ends in expected]


def test_a_batch_has_as_many_characters_as_its_longest_text_in_every_row() -> None:
    assert [characters(texts) for texts in (["three", "one"], ["one"])] == [10, 3]


@pytest.mark.parametrize(
    ("ids", "pass_tokens", "rows", "gradient"),
    [
        # by hand: of the losses 2 to 6 but 4, whose mean is 4, -3 times
        ([[1, 2, 3], [1, 5, 0], [1, 6, 0]], 6, [2, 1], -3 * 4),
        ([[1, 2, 3], [1, 5, 0], [1, 6, 0]], 8, [2, 1], -3 * 4),
        ([[1, 2, 3], [1, 5, 0], [1, 6, 0]], 9, [3], -3 * 4),
        ([[1, 2, 3], [1, 5, 0]], 2, [1, 1], -3 * 10 / 3),
        ([[1, 4]], 4, [1], -3 * 4),
        ([[1]], 4, [1], 0),
    ],
)
def test_a_batchs_gradient_is_that_of_the_mean_over_its_tokens_in_passes_of_some_rows(
    ids: list[list[int]],
    pass_tokens: int,
    rows: list[int],
    gradient: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A token's loss is its id times a weight; 0 is padding."""
    weight = nn.Parameter(torch.tensor(1.0))
    encoded = BatchEncoding({"input_ids": torch.tensor(ids)})
    rows_of_passes: list[int] = []

    def label_losses(
        lm: LM, batch: BatchEncoding, labels: torch.Tensor
    ) -> tuple[torch.Tensor, None]:
        assert torch.equal(batch["input_ids"], labels.clamp(min=0))
        rows_of_passes.append(len(labels))
        return weight * labels[:, 1:].clamp(min=0).float(), None

    def text_labels(batch: BatchEncoding) -> torch.Tensor:
        return batch["input_ids"].masked_fill(batch["input_ids"] == 0, -100)

    encodings = {(("one", "two"), 5): encoded}
    lm: Any = SimpleNamespace(
        model=None, encode=lambda *arguments: encodings[arguments], text_labels=text_labels
    )
    monkeypatch.setattr(training, "label_losses", label_losses)
    monkeypatch.setattr(training, "readable", lambda model, tokens: min(tokens, 5))
    monkeypatch.setattr(training, "PASS_TOKENS", pass_tokens)
    add_gradients(lm, ("one", "two"), max_tokens=7, factor=-3.0)
    assert rows_of_passes == rows
    assert weight.grad is not None and weight.grad.item() == pytest.approx(gradient)
