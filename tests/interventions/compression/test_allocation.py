"""OWL: which share of its weights each block loses.

Sources: Yin et al. 2024, "Outlier Weighed Layerwise Sparsity (OWL)", section 3; luuyin/OWL,
``prune_wanda_outlier`` and ``prune_mag_outlier``, whose steps are written again here in float64.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from interventions.anatomy import block_linears
from interventions.base import Intervention, make
from interventions.composition import Composition, apply
from interventions.compression.allocation import block_sparsities, outlier_shares, owl_sparsities
from interventions.data.base import Data
from interventions.data.testbed import MODEL
from interventions.errors import InvalidInput
from interventions.lm import LM
from tests.anatomies import methods
from tests.anatomies.cells import Case
from tests.anatomies.compressed import _by_block
from tests.anatomies.references import in_order, inputs, weights
from tests.anatomies.texts import tiny_data
from tests.anatomies.zoo import ANATOMIES, build
from tests.interventions.compression.reference import KEY

PRUNERS = ("magnitude", "wanda", "sparsegpt")
# transposed matrices, listed and fused experts, blocks of unlike sizes
FAMILIES = ("gpt2", "mixtral", "qwen3-moe", "deepseek-v3", "opt")


def by_the_authors_formula(shares: Sequence[float], sparsity: float, half: float) -> list[float]:
    ratio = np.array(shares) * 100
    ratio = (ratio - ratio.min()) * (1 / (ratio.max() - ratio.min()) * half * 2)
    keep = ratio - np.mean(ratio) + (1 - sparsity)
    return list(1 - keep)


@given(
    st.lists(st.integers(0, 999), min_size=2, max_size=40, unique=True),
    st.floats(0.2, 0.8),
    st.floats(0.01, 0.1),
)
def test_of_blocks_of_one_size_the_shares_are_the_authors(
    counts: list[int], sparsity: float, half: float
) -> None:
    shares = [count / 1000 for count in counts]
    ours = owl_sparsities(shares, [7] * len(shares), sparsity, half)
    assert ours == pytest.approx(by_the_authors_formula(shares, sparsity, half), abs=1e-9)
    assert max(ours) - min(ours) == pytest.approx(2 * half)
    assert ours.index(max(ours)) == shares.index(min(shares))


def test_blocks_of_unlike_sizes_lose_together_what_is_asked_for() -> None:
    sizes, shares = [1000, 10, 500], [0.02, 0.3, 0.1]
    ours = owl_sparsities(shares, sizes, 0.6, 0.1)
    assert np.dot(ours, sizes) / sum(sizes) == pytest.approx(0.6)
    assert ours[0] > ours[2] > ours[1]


def test_blocks_that_are_alike_lose_the_same() -> None:
    assert owl_sparsities([0.1, 0.1], [3, 5], 0.5, 0.08) == [0.5, 0.5]


def shares_by_plain_passes(name: str, lm: LM, data: Data, threshold: float) -> list[float]:
    anatomy = ANATOMIES[name]
    model = anatomy.model()
    rows = in_order(lm.tokenizer, data.calibration, 2048)
    every, shares = weights(model, anatomy), []
    for index in range(len({path.split(".")[0] for path in every})):
        x = inputs(model, anatomy, rows, index)
        of_block = {path: w for path, w in every.items() if path.startswith(f"{index}.")}
        seen = [x.get(path, torch.zeros(1, w.shape[1])) for path, w in of_block.items()]
        shares.append(methods.outlier_share(list(of_block.values()), seen, threshold))
    return shares


@pytest.mark.parametrize("name", FAMILIES)
def test_the_shares_of_outliers_are_those_of_plain_passes(name: str, tmp_path: Path) -> None:
    lm, data = LM.load(build(name, tmp_path)), tiny_data()
    before = lm.fingerprint()
    for threshold in (2.0, 5.0):
        expected = shares_by_plain_passes(name, lm, data, threshold)
        ours = [float(share) for share in outlier_shares(lm, data.calibration, threshold)]
        assert ours == pytest.approx(expected, abs=2e-4) and max(expected) > 0
    assert lm.fingerprint() == before


def test_what_an_expert_holds_that_sees_nothing_is_no_outlier(tmp_path: Path) -> None:
    lm = LM.load(build("mixtral", tmp_path))
    data = dataclasses.replace(tiny_data(), calibration=("a",))
    with pytest.warns(UserWarning, match="experts saw fewer than 16 tokens"):
        ours = [float(share) for share in outlier_shares(lm, data.calibration, 2.0)]
    assert ours == pytest.approx(shares_by_plain_passes("mixtral", lm, data, 2.0), abs=2e-4)


def owl(method: str, **settings: Any) -> Any:
    return make(method, allocation="owl", outlier_threshold=3.0, allocation_range=0.1, **settings)


@pytest.mark.parametrize("name", ["gpt2", "mixtral"])
@pytest.mark.parametrize("method", ["magnitude", "wanda"])
def test_every_block_loses_its_share_by_the_methods_own_scores(
    method: str, name: str, tmp_path: Path
) -> None:
    folder, data = build(name, tmp_path), tiny_data()
    shares = shares_by_plain_passes(name, LM.load(folder), data, 3.0)
    anatomy = ANATOMIES[name]
    sizes = [0] * len(shares)
    for path, w in weights(anatomy.model(), anatomy).items():
        sizes[int(path.split(".")[0])] += w.numel()
    sparsities = owl_sparsities(shares, sizes, 0.6, 0.1)
    step = owl(method, sparsity=0.6)
    case = Case(anatomy, step, step.apply(LM.load(folder), data), data, folder)
    assert max(sparsities) - min(sparsities) == pytest.approx(0.2)
    after = weights(case.lm.model, anatomy)
    differing = total = 0
    for index, before, x in _by_block(case):
        for path, w in before.items():
            if method == "wanda":
                seen = x[path] if len(x[path]) else torch.ones(1, w.shape[1])
                expected = methods.wanda(w, seen, sparsities[index])
            else:
                expected = methods.magnitude(w, sparsities[index])
            differing += int((expected != after[path]).sum())
            total += w.numel()
    # at the edge of a row float32 may take the neighbour
    assert differing <= 2e-3 * total


@pytest.mark.parametrize("method", PRUNERS)
def test_all_blocks_together_lose_what_is_asked_for(method: str, lm: LM, small: Data) -> None:
    step = owl(method, sparsity=0.6)
    expected = block_sparsities(LM.load(MODEL), small.calibration, step)
    pruned = apply(step, lm, small, KEY)
    by_block: dict[str, list[Tensor]] = {}
    for path, matrix in block_linears(pruned.model).items():
        by_block.setdefault(path.split(".")[0], []).append((matrix.weight == 0).flatten())
    zeros = [float(torch.cat(parts).float().mean()) for parts in by_block.values()]
    assert zeros == pytest.approx(expected, abs=0.01)
    assert np.mean(zeros) == pytest.approx(0.6, abs=0.01)
    assert step.holds(pruned)
    assert not owl(method, sparsity=0.7).holds(pruned)
    assert not make(method, sparsity=0.6).holds(pruned)  # a block has fewer


@pytest.mark.parametrize("method", PRUNERS)
def test_it_does_not_hold_any_more_once_one_matrix_was_filled(
    method: str, lm: LM, small: Data
) -> None:
    step = owl(method, sparsity=0.6)
    pruned = apply(step, lm, small, KEY)
    matrix = block_linears(pruned.model)["3.self_attn.k_proj"]
    matrix.weight.copy_(torch.ones_like(matrix.weight))
    assert not step.holds(pruned)


def test_weights_that_are_left_by_rounding_are_not_missed(lm: LM, small: Data) -> None:
    """Of 128 inputs a row loses 70 at .55, which is less than .55 of it."""
    step = make("wanda", allocation="owl", allocation_range=0.0, sparsity=0.55)
    assert step.holds(apply(step, lm, small, KEY))


def test_zeros_of_a_lesser_sparsity_do_not_hold(lm: LM, small: Data) -> None:
    """Every matrix has its least, but all together have too few."""
    pruned = apply(make("wanda", sparsity=0.6), lm, small, KEY)
    assert owl("wanda", sparsity=0.6).holds(pruned)
    assert not owl("wanda", sparsity=0.65).holds(pruned)


@pytest.mark.parametrize("method", PRUNERS)
def test_uniform_shares_have_the_identity_of_before_and_others_have_not(method: str) -> None:
    before = make(method).identity()
    assert not {"allocation", "outlier_threshold", "allocation_range"} & set(before)
    identities = [
        make(method, allocation="owl").identity(),
        make(method, allocation="owl", outlier_threshold=4.0).identity(),
        make(method, allocation="owl", allocation_range=0.05).identity(),
    ]
    assert all(identity != before for identity in identities)
    assert len({str(identity) for identity in identities}) == 3


def test_magnitude_reads_texts_for_owl_alone(data: Data) -> None:
    uniform, other = make("magnitude"), make("magnitude", allocation="owl", samples=64)
    assert not uniform.reads and other.reads == {"calibration"}
    assert make("magnitude", samples=8).identity() == uniform.identity()
    assert "samples" not in uniform.identity() and other.identity()["samples"] == 64
    other.check_texts(data)
    with pytest.raises(InvalidInput, match=r"magnitude\.samples is 9999, but there are"):
        make("magnitude", allocation="owl", samples=9999).check_texts(data)
    fewer = dataclasses.replace(data, calibration=data.calibration[:64])
    origin = "0" * 32
    keys = [Composition((step,)).keys(origin, parts) for step in (uniform, other)
            for parts in (data, fewer)]  # fmt: skip
    assert keys[0] == keys[1] and keys[2] != keys[3]


@pytest.mark.parametrize("method", PRUNERS)
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"outlier_threshold": 4.0}, r"outlier_threshold is of allocation='owl'"),
        ({"allocation_range": 0.1}, r"allocation_range is of allocation='owl'"),
        ({"allocation": "owl", "pattern": "2:4"}, r"pattern='2:4' removes half of every block"),
        ({"allocation": "owl", "sparsity": 0.15}, r"sparsity must be from 0\.16 to 0\.84"),
        ({"allocation": "owl", "sparsity": 0.85}, r"but got 0\.85; or lower allocation_range"),
        ({"allocation": "other"}, r"allocation must be one of|uniform"),
    ],
)
def test_what_cannot_be_is_refused(method: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        make(method, **settings)


def test_owl_is_own_code() -> None:
    for method in ("wanda", "sparsegpt"):
        with pytest.raises(InvalidInput, match="is own code: backend must be 'own'"):
            make(method, allocation="owl", backend="llmcompressor")


@pytest.mark.parametrize("method", PRUNERS)
def test_the_bounds_of_the_sparsity_are_within_what_a_block_can_lose(method: str) -> None:
    shares = [0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]  # the worst case for the first block
    for sparsity in (0.16, 0.84):
        step: Intervention = make(method, allocation="owl", sparsity=sparsity)
        assert step.params()["sparsity"] == sparsity
        for sign in (1, -1):
            stretched = [sign * share for share in shares]
            assert all(
                0 <= each <= 1 for each in owl_sparsities(stretched, [1] * 7, sparsity, 0.08)
            )
