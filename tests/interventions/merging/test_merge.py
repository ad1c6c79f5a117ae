"""Merging held against the papers' equations in float64, on two families."""

import copy
import dataclasses
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from interventions.base import make
from interventions.composition import Composition, apply
from interventions.compression.rtn import RTN
from interventions.criteria.base import measure
from interventions.data.base import Data
from interventions.errors import InvalidInput
from interventions.lm import LM
from interventions.merging import merge
from interventions.merging.merge import Merge
from tests.interventions.merging.branches import (
    KEY,
    arrays,
    flat,
    merge_of,
    merged,
    moved,
    small_lm,
    ties,
)

FAMILIES = ("gpt2", "llama")
WAYS: tuple[dict[str, Any], ...] = (
    {"how": "linear"},
    {"how": "ties", "density": 1.0},
    {"how": "dare", "drop": 0.0},
)


@pytest.fixture(scope="module", params=FAMILIES)
def start(request: pytest.FixtureRequest) -> LM:
    return small_lm(request.param)


@pytest.fixture(scope="module")
def branches(start: LM) -> list[LM]:
    return [moved(start, seed) for seed in (1, 2)]


@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.4, 0.7), (1.0, -0.5)])
def test_linear_is_the_sum_of_task_vectors(
    start: LM, branches: list[LM], weights: tuple[float, float]
) -> None:
    """Ilharco et al. 2023, equation 1 and negation."""
    result = merged(Merge(weights=weights), start, branches)
    before = flat(arrays(start))
    expected = before + sum(
        weight * (flat(arrays(branch)) - before)
        for weight, branch in zip(weights, branches, strict=True)
    )
    np.testing.assert_allclose(flat(arrays(result)), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("scales", "density"),
    [
        ((1.0, 1.0), 0.2),
        ((0.5, 0.5), 0.3),
        ((1.0, 1.0), 1.0),
        ((1.0, 0.3), 0.5),
        ((1.0, -0.6), 0.5),
    ],
)
def test_ties_trims_elects_and_takes_the_disjoint_mean(
    start: LM, branches: list[LM], scales: tuple[float, ...], density: float
) -> None:
    step = Merge(how="ties", weights=scales, density=density)
    result = merged(step, start, branches)
    expected = ties(arrays(start), [arrays(branch) for branch in branches], scales, density)
    np.testing.assert_allclose(flat(arrays(result)), expected, rtol=0, atol=1e-6)


def test_ties_of_three_branches_leaves_a_minority_out(start: LM) -> None:
    three = [moved(start, seed) for seed in (1, 2, 3)]
    step = merge_of("ft", "ga", "rmu", how="ties", density=0.5)
    expected = ties(arrays(start), [arrays(branch) for branch in three], (1.0,) * 3, 0.5)
    np.testing.assert_allclose(
        flat(arrays(merged(step, start, three))), expected, rtol=0, atol=1e-6
    )


def test_dare_drops_the_share_and_rescales_the_rest(start: LM, branches: list[LM]) -> None:
    """Yu et al. 2024, equation 2: what is left is 1 / (1 - p) times the task vector."""
    drop = 0.75
    result = merged(Merge(weights=(1.0, 0.0), how="dare", drop=drop), start, branches)
    before, after = flat(arrays(start)), flat(arrays(branches[0]))
    vector, change = after - before, flat(arrays(result)) - before
    is_left = change != 0
    np.testing.assert_allclose(change[is_left], vector[is_left] / (1 - drop), rtol=0, atol=2e-6)
    share = is_left.sum() / (vector != 0).sum()
    assert abs(share - (1 - drop)) < 4 * np.sqrt(drop * (1 - drop) / (vector != 0).sum())


def test_dare_draws_by_the_steps_key_and_anew_for_every_branch(start: LM) -> None:
    branch = moved(start, 1)
    step = Merge(how="dare")
    first, again = (merged(step, start, [branch, branch]).fingerprint() for _ in range(2))
    models = [branch, branch]
    drawn_again = apply(step, copy.deepcopy(start), Data("none"), "ab" * 16, models.__getitem__)
    assert first == again != drawn_again.fingerprint()
    # the same draw for both would double what is left: each element is 0, 2 or 4 vectors then
    before, after = flat(arrays(start)), flat(arrays(branch))
    vector, change = after - before, flat(arrays(merged(step, start, [branch] * 2))) - before
    large = np.abs(vector) > 1e-3
    assert {0, 2, 4} == set(np.rint(change[large] / vector[large]).astype(int))


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way["how"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", FAMILIES)
def test_weights_of_one_and_nothing_give_the_branch_bit_for_bit(
    family: str, dtype: torch.dtype, way: dict[str, Any]
) -> None:
    before = small_lm(family, dtype)
    ends = [moved(before, seed) for seed in (1, 2)]
    with torch.no_grad():  # a zero of the other sign, and a weight tiny beside the one before
        for weight in ends[0].model.parameters():
            weight.view(-1)[0] = -0.0
            weight.view(-1)[1] = 1e-30
    assert (
        merged(Merge(weights=(1.0, 0.0), **way), before, ends).fingerprint()
        == ends[0].fingerprint()
    )
    assert (
        merged(Merge(weights=(0.0, 1.0), **way), before, ends).fingerprint()
        == ends[1].fingerprint()
    )
    nothing = merged(Merge(weights=(0.0, 0.0), **way), before, ends)
    assert nothing.fingerprint() == before.fingerprint()


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way["how"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_one_branch_alone_changed_is_that_branchs_exactly(
    dtype: torch.dtype, way: dict[str, Any]
) -> None:
    """However small beside the weight before: 1 + (1e-30 - 1) would be 0."""
    before = small_lm("llama", dtype)
    ends = [copy.deepcopy(before) for _ in range(2)]
    with torch.no_grad():
        for lm, element in zip(ends, (0, 1), strict=True):
            for weight in lm.model.parameters():
                weight.view(-1)[element] = 1e-30
    result = merged(Merge(**way), before, ends)
    for weight in result.model.parameters():
        assert weight.view(-1)[:2].tolist() == [torch.tensor(1e-30, dtype=dtype).item()] * 2


def test_tied_weights_stay_tied_and_others_apart() -> None:
    before = small_lm("gpt2")
    ends = [moved(before, seed) for seed in (1, 2)]
    model: Any = merged(Merge(), before, ends).model
    assert model.lm_head.weight is model.transformer.wte.weight
    start_, first, second = (
        lm.model.get_input_embeddings().weight.double() for lm in (before, *ends)
    )
    torch.testing.assert_close(
        model.transformer.wte.weight.double(), first + second - start_, rtol=0, atol=1e-6
    )


def test_a_branch_that_unties_reshapes_or_retypes_weights_is_refused() -> None:
    before = small_lm("gpt2")
    for change, words in (
        (_untie, "ties none, and the model before lm_head.weight and transformer.wte.weight"),
        (_resize, r"lm_head\.weight is \(\d+, 64\) of float32, and before \(\d+, 64\)"),
        (_retype, r"is \(64,\) of bfloat16, and before \(64,\) of float32"),
        (_count, "changed counter, which is none"),
        (_count_in_parameter, "changed table, which is none"),
    ):
        start, end = copy.deepcopy(before), copy.deepcopy(before)
        for model in (start.model, end.model):
            model.register_buffer("counter", torch.tensor([1, 2]))
            table = torch.nn.Parameter(torch.tensor([1, 2]), requires_grad=False)
            model.register_parameter("table", table)
        change(end.model)
        with pytest.raises(InvalidInput, match=words) as error:
            merged(Merge(), start, [start, end])
        assert "'rmu'" in str(error.value) and len(str(error.value)) <= 390


def _untie(model: Any) -> None:
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.clone())


def _resize(model: Any) -> None:
    model.resize_token_embeddings(model.config.vocab_size + 3, mean_resizing=False)


def _retype(model: Any) -> None:
    model.transformer.ln_f.to(torch.bfloat16)


def _count(model: Any) -> None:
    model.counter += 1


def _count_in_parameter(model: Any) -> None:
    model.table += 1


def test_integers_that_no_branch_changed_stay(start: LM, branches: list[LM]) -> None:
    lms = [copy.deepcopy(lm) for lm in (start, *branches)]
    for lm in lms:
        lm.model.register_buffer("counter", torch.tensor([1, 2]))
    model: Any = merged(Merge(), lms[0], lms[1:]).model
    assert model.counter.tolist() == [1, 2] and model.counter.dtype == torch.int64


@pytest.mark.parametrize("how", ["linear", "ties", "dare"])
@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_a_branch_that_diverged_is_not_merged_away(how: Any, broken: float) -> None:
    before = small_lm("llama")
    ends = [moved(before, seed) for seed in (1, 2)]
    with torch.no_grad():
        next(iter(ends[0].model.parameters())).view(-1)[3] = broken
    for step in (Merge(how=how), Merge(how=how, weights=(-1.0, 1.0))):
        weight = next(iter(merged(step, before, ends).model.parameters())).view(-1)
        assert not torch.isfinite(weight[3]) and torch.isfinite(weight[:3]).all()


def test_bits_and_sparsity_after_merging_are_measured(lm: LM, small: Data) -> None:
    """A grid that a branch put on a layer is kept where the layer is still on it, only."""
    quantized = apply(RTN(bits=4, group=32), copy.deepcopy(lm), small, KEY)
    changed = copy.deepcopy(lm)
    (name, layer) = next(
        (name, module)
        for name, module in changed.model.named_modules()
        if name.endswith("layers.0.mlp.up_proj")
    )
    with torch.no_grad():
        layer.weight += 0.01
    result = merged(Merge(), lm, [quantized, changed])
    assert set(quantized.grids) - set(result.grids) == {name.removeprefix("model.layers.")}
    scores = measure(result, small, ["average_bits"])["average_bits"].items
    assert {round(bits, 6) for bits in scores.values()} == {5.0, 16.0}
    only = merged(Merge(weights=(1.0, 0.0)), lm, [quantized, changed])
    assert set(only.grids) == set(quantized.grids)
    assert (
        measure(only, small, ["average_bits"])["average_bits"].value
        == measure(quantized, small, ["average_bits"])["average_bits"].value
    )


class Bound:
    """A grid of weights that are at most so large."""

    def __init__(self, most: float) -> None:
        self.most = most

    def holds(self, weight: torch.Tensor) -> bool:
        return bool((weight <= self.most).all())


def test_the_grid_of_the_first_model_that_the_weights_lie_on_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Branches come before the model that they start from; a layer may lie on no grid."""
    weights = dict.fromkeys("abcde", torch.tensor([1.0, 2.0]))
    linears = {name: SimpleNamespace(weight=weight) for name, weight in weights.items()}
    monkeypatch.setattr(merge, "block_linears", lambda model: linears)
    low, first, second, before = Bound(1), Bound(2), Bound(3), Bound(4)
    grids = (
        {"a": before, "b": before, "c": before, "d": low},
        {"a": low, "b": first, "f": first},
        {"a": second, "b": second, "d": low},
    )
    start, *branches = [SimpleNamespace(model=None, grids=by_name) for by_name in grids]
    result: Any = merge._grids(cast(Any, start), cast(Any, branches))
    assert result == {"a": second, "b": first, "c": before}


@dataclasses.dataclass
class Remembering(LM):
    """A model that carries something of a step."""

    notes: dict[str, torch.Tensor] = dataclasses.field(default_factory=dict)


def test_what_a_branch_leaves_for_later_steps_goes_on_or_is_refused() -> None:
    plain = small_lm("gpt2")
    start, first, second = (
        Remembering(copy.deepcopy(plain.model), plain.tokenizer) for _ in range(3)
    )
    assert cast(Any, merged(Merge(), start, [first, second])).notes == {}
    first.notes["keys"] = torch.tensor([1.0, 2.0])
    notes = cast(Any, merged(Merge(), start, [first, second])).notes
    assert notes["keys"].tolist() == [1, 2]
    second.notes["keys"] = torch.tensor([1.0, 2.0])
    assert cast(Any, merged(Merge(), start, [first, second])).notes["keys"].tolist() == [1, 2]
    second.notes["keys"] = torch.tensor([1.0, 3.0])
    with pytest.raises(InvalidInput, match=r"which notes the merged .* after 'ft' and 'rmu'"):
        merged(Merge(), start, [first, second])
    only = cast(Any, merged(Merge(weights=(1.0, 0.0)), start, [first, second])).notes
    assert only["keys"].tolist() == [1, 2]


def test_branches_start_from_copies_of_the_model_before(lm: LM, small: Data) -> None:
    """Applied by themselves, without a run: nothing of one branch is in another."""
    before = lm.fingerprint()
    fingerprints: list[str] = []
    step = merge_of("magnitude(sparsity=0.9)", "rtn(bits=2) | magnitude(sparsity=0.5)")
    models = [apply(step, copy.deepcopy(lm), small, KEY, _recorded(step, lm, small, fingerprints))]
    assert lm.fingerprint() == before and len(fingerprints) == 2
    plain = apply(make("magnitude", sparsity=0.9), copy.deepcopy(lm), small, KEY)
    assert fingerprints[0] == plain.fingerprint() != models[0].fingerprint()


def _recorded(step: Merge, lm: LM, data: Data, fingerprints: list[str]) -> Any:
    from interventions.composition import computed_branches

    compute = computed_branches(step, lm, data, KEY)

    def record(index: int) -> LM:
        model = compute(index)
        fingerprints.append(model.fingerprint())
        return model

    return record


def test_a_merge_outside_of_apply_says_how_to_call_it(lm: LM, small: Data) -> None:
    with pytest.raises(InvalidInput, match=r"interventions\.composition\.apply\(step, lm"):
        Merge().apply(lm, small)


def test_the_same_merge_has_one_spelling_and_one_key() -> None:
    spellings = [
        merge_of("ft", "rmu"),
        Merge((Composition.parse("ft"), Composition.parse("rmu")), weights=(1.0, 1.0)),
        Composition.parse("merge( ft , rmu, weights=1)")[0],
        make("merge", branches=("ft", "rmu"), weights=(1, 1)),
    ]
    assert len(set(spellings)) == 1 and {str(step) for step in spellings} == {"merge(ft, rmu)"}
    half = Composition.parse("merge(ft, rmu, weights=0.5)")
    assert str(half) == "merge(ft, rmu, weights=(0.5, 0.5))"
    assert dataclasses.replace(Merge(), weights=(0.5,)) == half[0]
