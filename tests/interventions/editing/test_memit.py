"""What MEMIT writes into the weights: the closed form, layer after layer.

The references are written from the papers' equations, in float64: Meng et al. 2023, "Mass-Editing
Memory in a Transformer" (MEMIT), and Meng et al. 2022, "Locating and Editing Factual Associations
in GPT" (ROME).
"""

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

from interventions.composition import apply
from interventions.data.base import Data
from interventions.data.testbed import MODEL
from interventions.editing.memit import MEMIT, closed_form_change
from interventions.editing.subject_targets import random_prefixes
from interventions.errors import InvalidInput
from interventions.lm import LM, skeleton
from interventions.partial_pass import split_pass
from tests.interventions.editing.reference import KEY, TEXTS, Reference, relative


@pytest.mark.parametrize(
    ("inputs", "count", "covariance"), [(24, 1, 10.0), (24, 7, 0.5), (24, 60, 15000.0)]
)
def test_the_update_is_equation_14(inputs: int, count: int, covariance: float) -> None:
    generator = torch.Generator().manual_seed(count)
    corpus = torch.randn(300, inputs, generator=generator)
    moment = corpus.T @ corpus / 300
    keys, missing = (
        torch.randn(inputs, count, generator=generator),
        torch.randn(count, 11, generator=generator),
    )
    ours = closed_form_change(missing, keys, moment, covariance)
    assert ours.shape == (11, inputs)
    c, k, r = covariance * moment.double(), keys.double(), missing.double().T
    explicit = r @ k.T @ torch.linalg.inv(c + k @ k.T)
    assert relative(ours, explicit) < 1e-10
    inverse = torch.linalg.inv(c)  # Woodbury: K'(A + K K')^-1 = (1 + K' A^-1 K)^-1 K' A^-1
    woodbury = (
        r
        @ torch.linalg.inv(torch.eye(count, dtype=torch.float64) + k.T @ inverse @ k)
        @ k.T
        @ inverse
    )
    assert relative(ours, woodbury) < 1e-10
    # the closed form minimizes covariance E ||change k_0||^2 + sum ||change k - r||^2: it is
    # stationary there
    gradient = ours @ c + (ours @ k - r) @ k.T
    assert gradient.abs().max() < 1e-10 * (r @ k.T).abs().max()


def test_inputs_that_are_always_0_as_in_a_pruned_model_change_nothing_else() -> None:
    generator = torch.Generator().manual_seed(0)
    corpus, keys = (
        torch.randn(300, 24, generator=generator),
        torch.randn(24, 5, generator=generator),
    )
    missing, active = torch.randn(5, 11, generator=generator), torch.arange(24) % 4 > 0
    corpus[:, ~active], keys[~active] = 0, 0
    change = closed_form_change(missing, keys, corpus.T @ corpus / 300, 10.0)
    alone = corpus[:, active]
    assert (
        relative(
            change[:, active],
            closed_form_change(missing, keys[active], alone.T @ alone / 300, 10.0),
        )
        < 1e-9
    )
    assert (change[:, ~active] == 0).all()


def test_a_millionth_of_a_millionth_of_the_mean_moment_is_added_to_each() -> None:
    """Moments of (2e12, 0), with a mean of 1e12: an input of 1 gives half of what is wanted."""
    moment, key = torch.tensor([[2e12, 0.0], [0.0, 0.0]]), torch.tensor([[0.0], [1.0]])
    for covariance, mean in ((1.0, 1e12), (0.5, 5e11)):
        change = closed_form_change(torch.tensor([[2.0]]), key, moment, covariance)
        assert change.tolist() == [[0, pytest.approx(2 / (1 + 1e-12 * mean))]]


@pytest.fixture(scope="module")
def moments(reference: Reference, data: Data) -> dict[int, Tensor]:
    """Second moments of enough texts that their matrix is regular: else rounding decides."""
    return reference.moments(data.statistics[:TEXTS], (0, 1, 3))


@pytest.mark.parametrize("prefixes", [0, 2])
def test_the_weights_change_as_algorithm_1_says(
    lm: LM,
    small: Data,
    data: Data,
    moments: dict[int, Tensor],
    monkeypatch: pytest.MonkeyPatch,
    prefixes: int,
) -> None:
    """MEMIT, algorithm 1, layer after layer, for equal targets.

    K is the mean over kinds of contexts, equation 19: the bare prompt is one, prefixes the other.
    """
    memit = MEMIT(
        layers=(3, 0, 1),
        steps=4,
        lr=0.5,
        covariance=3.0,
        samples=TEXTS,
        prefixes=prefixes,
        prefix_tokens=5,
    )
    small = dataclasses.replace(small, statistics=data.statistics)
    drawn: list[list[str]] = []

    def noted(lm: LM, count: int, tokens: int) -> list[str]:
        drawn.append(random_prefixes(lm, count, tokens))
        return drawn[-1]

    monkeypatch.setattr("interventions.editing.memit.random_prefixes", noted)
    edited = apply(memit, lm, small, KEY)
    (befores,) = drawn
    assert len(set(befores)) == len(befores) == prefixes + 1
    assert befores[0] == "" and all(before.endswith(". ") for before in befores[1:])

    plain, base = Reference(), Reference()
    wanted = memit.targets(LM.load(MODEL), small.edits, befores).double()
    with torch.no_grad():
        for layers_left, layer in ((3, 0), (2, 1), (1, 3)):
            keys, missing = [], []
            for edit, z in zip(small.edits, wanted, strict=True):
                at_prefixes = []
                for before in befores:
                    end = plain.subject_end(before, edit)
                    at_prefixes.append(plain.run(before + edit.prompt, layer)[1][end])
                bare, *prefixed = at_prefixes
                kinds = [bare, torch.stack(prefixed).mean(0)] if prefixed else [bare]
                keys.append(torch.stack(kinds).mean(0))
                h = plain.run(edit.prompt, 3)[2][plain.subject_end("", edit)]
                missing.append((z - h) / layers_left)
            k, r = torch.stack(keys, dim=1), torch.stack(missing, dim=1)
            change = r @ k.T @ torch.linalg.inv(3.0 * moments[layer] + k @ k.T)
            plain.blocks[layer].mlp.down_proj.weight += change

    for name, weight in edited.model.state_dict().items():
        before = base.model.state_dict()[name]
        if name in {f"model.layers.{layer}.mlp.down_proj.weight" for layer in (0, 1, 3)}:
            assert (
                relative(weight.double() - before, plain.model.state_dict()[name] - before) < 2e-5
            ), name
        else:
            assert torch.equal(weight.double(), before), name


def test_one_layer_alone_takes_all_that_is_missing(
    lm: LM, small: Data, reference: Reference
) -> None:
    """Equation 14: with hardly any weight on old memories, the states become the targets."""
    memit = MEMIT(layers=(2,), steps=3, lr=0.5, covariance=1e-7, samples=32)
    wanted = memit.targets(LM.load(MODEL), small.edits)
    edited = apply(memit, lm, small, KEY)
    for edit, z in zip(small.edits, wanted, strict=True):
        end = reference.subject_end("", edit)
        with torch.no_grad():
            outputs = edited.model(
                **edited.encode([edit.prompt]), output_hidden_states=True
            ).hidden_states
        torch.testing.assert_close(outputs[3][0, end], z, atol=1e-2, rtol=1e-3)


def test_prefixes_are_the_models_own_texts_and_follow_the_seed(lm: LM, small: Data) -> None:
    memit = MEMIT(layers=(1,), steps=2, samples=8, prefixes=2)
    first, again, with_other_seed = (
        apply(memit, LM.load(MODEL), small, key).fingerprint() for key in (KEY, KEY, "ab" * 16)
    )
    assert first == again != with_other_seed
    assert (
        with_other_seed
        != apply(dataclasses.replace(memit, prefixes=0), lm, small, "ab" * 16).fingerprint()
    )


def test_a_prefix_goes_on_from_its_start_and_not_from_padding(
    lm: LM, small: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first token of a prefix is drawn from what the model says after an unpadded start."""
    ends: list[Tensor] = []
    generate = type(lm.model).generate

    def spied(self: Any, *args: Any, **kwargs: Any) -> Any:
        ends.append(kwargs["attention_mask"][:, -1])
        return generate(self, *args, **kwargs)

    monkeypatch.setattr(type(lm.model), "generate", spied)
    apply(MEMIT(layers=(1,), steps=1, samples=8, prefixes=5), lm, small, KEY)
    assert torch.cat(ends).bool().all()


@pytest.mark.parametrize(
    ("layers", "named"),
    [((6,), 6), ((1, 9), 9), ((-1, 2), -1)],
    ids=["one too many", "far", "negative"],
)
def test_a_layer_that_the_model_lacks_is_named_before_anything_is_loaded(
    layers: tuple[int, ...], named: int
) -> None:
    model = skeleton(MODEL)
    assert {p.device.type for p in model.parameters()} == {"meta"}
    with pytest.raises(
        InvalidInput, match=rf"^memit.layers names layer {named}, but the model has layers 0 to 5$"
    ):
        MEMIT(layers=layers).check(model)
    MEMIT(layers=(0, 5)).check(model)


@pytest.mark.parametrize(
    "fields",
    [
        {"layers": ()},
        {"layers": (1.5,)},
        {"steps": 0},
        {"lr": 0.0},
        {"covariance": 0.0},
        {"samples": 0},
        {"clamp": 0.0},
        {"prefixes": -1},
        {"prefix_tokens": 0},
        {"kl_factor": -1.0},
        {"weight_decay": -1.0},
    ],
    ids=str,
)
def test_values_out_of_range_are_refused(fields: dict[str, Any]) -> None:
    (name,) = fields
    with pytest.raises(InvalidInput, match=f"memit.{name} must be"):
        MEMIT(**fields)


def test_a_layer_named_twice_is_refused_or_edited_once(lm: LM, small: Data) -> None:
    memit = MEMIT(layers=(1,), steps=2, samples=8)
    once = apply(memit, lm, small, KEY).fingerprint()
    try:
        twice = dataclasses.replace(memit, layers=(1, 1))
        twice.check(skeleton(MODEL))
    except InvalidInput:
        return
    assert apply(twice, LM.load(MODEL), small, KEY).fingerprint() == once


@pytest.mark.parametrize("prefixes", [0, 2])
def test_edits_in_several_passes_are_those_in_one(
    prefixes: int, small: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    memit = MEMIT(layers=(0, 1), steps=8, prefixes=prefixes)
    whole = apply(memit, LM.load(MODEL), small, KEY)
    passes: list[int] = []

    def noted(model: Any, encoded: Any, layer: int) -> Any:
        passes.append(len(encoded["input_ids"]))
        return split_pass(model, encoded, layer)

    monkeypatch.setattr("interventions.editing.subject_targets.split_pass", noted)
    monkeypatch.setattr("interventions.editing.prompts.PASS_TOKENS", 1)
    in_parts = apply(memit, LM.load(MODEL), small, KEY)
    # of each edit, its prompts and that about its subject's nature
    assert passes == [1 + prefixes, 1] * len(small.edits)
    for layer in (0, 1):
        weight, one, several = (
            lm.model.model.layers[layer].mlp.down_proj.weight
            for lm in (LM.load(MODEL), whole, in_parts)
        )
        assert relative(several - weight, one - weight) < 1e-2
