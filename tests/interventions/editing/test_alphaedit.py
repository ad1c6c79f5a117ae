"""What AlphaEdit writes: the closed form, and a sequence of batches on two families of models.

The references are written from Fang et al. 2025 ("AlphaEdit"), equation 14, and the order of the
authors' code, in float64, by plain passes over one text at a time.
"""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from interventions.base import make
from interventions.base_model import base_model
from interventions.composition import apply
from interventions.data.base import Data
from interventions.data.edit_sequence import edit_sequence
from interventions.editing.alphaedit import AlphaEdit, null_space_change
from interventions.editing.memit import closed_form_change
from interventions.errors import InvalidInput
from interventions.lm import LM, skeleton
from interventions.step_metrics import recorded_metrics
from tests.anatomies import training
from tests.anatomies.references import decoder_blocks
from tests.anatomies.texts import tiny_data
from tests.anatomies.zoo import ANATOMIES, build
from tests.interventions.editing.reference import KEY, relative

INPUTS, HIDDEN = 24, 11
STEP = AlphaEdit(layers=(0, 1), steps=5, lr=0.1, threshold=0.3, ridge=0.5)


def normal(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, generator=generator)


def null_space_of(corpus: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Return U of the directions below the threshold, and P = U U', by singular values."""
    u, sizes, _ = torch.linalg.svd((corpus.T @ corpus / len(corpus)).double())
    u = u[:, sizes < threshold]
    return u, u @ u.T


@pytest.mark.parametrize(("edits", "earlier"), [(1, 0), (7, 0), (3, 4), (5, 9), (40, 60)])
def test_the_change_solves_equation_14(edits: int, earlier: int) -> None:
    corpus = normal(300, INPUTS) * torch.logspace(-2, 1, INPUTS)
    u, p = null_space_of(corpus, 0.1)
    assert 0 < u.shape[1] < INPUTS
    k, k1, r = normal(INPUTS, edits), normal(INPUTS, earlier), normal(edits, HIDDEN)
    ours = null_space_change(r, k, k1, u, 0.7)
    k, k1 = k.double(), k1.double()
    system = p @ (k @ k.T + k1 @ k1.T) + 0.7 * torch.eye(INPUTS).double()
    assert relative(ours, torch.linalg.solve(system, p @ k @ r.double()).T) < 1e-10


def test_what_a_corpus_reads_out_stays_unless_nothing_is_projected() -> None:
    corpus = normal(300, 10) @ normal(10, INPUTS)  # of rank 10
    k, r = normal(INPUTS, 5), normal(5, HIDDEN)
    u, _ = null_space_of(corpus, 1e-3)
    assert u.shape[1] == INPUTS - 10
    change = null_space_change(r, k, k[:, :0], u, 1e-6)
    # by the rounding of the corpus to float32
    assert (change @ corpus.T.double()).norm() < 1e-5 * change.norm() * corpus.norm()
    assert relative(change @ k.double(), r.T.double()) < 1e-3
    unbound = null_space_change(r, k, k[:, :0], torch.eye(INPUTS), 1e-6)
    assert (unbound @ corpus.T.double()).norm() > 1e-2 * unbound.norm() * corpus.norm()


def test_without_a_projection_and_with_a_corpus_as_earlier_keys_it_is_memits_form() -> None:
    corpus, k, r = normal(300, INPUTS), normal(INPUTS, 5), normal(5, HIDDEN)
    moment = (corpus.T @ corpus / 300).double()
    root = torch.linalg.cholesky(20.0 * moment)
    ours = null_space_change(r, k, root, torch.eye(INPUTS), 1e-9)
    assert relative(ours, closed_form_change(r, k, moment, 20.0)) < 1e-8


def test_earlier_keys_are_read_out_as_before_and_what_forgets_them_changes_them() -> None:
    k, k1, r = normal(INPUTS, 5), normal(INPUTS, 6), normal(5, HIDDEN)
    u = torch.linalg.qr(normal(INPUTS, 16)).Q
    remembering = null_space_change(r, k, k1, u, 1e-2) @ k1.double()
    forgetting = null_space_change(r, k, k1[:, :0], u, 1e-2) @ k1.double()
    assert remembering.norm() < 0.02 * forgetting.norm()


class Plain:
    """A small model in float64, read by plain passes over one unpadded text at a time."""

    def __init__(self, name: str, lm: LM) -> None:
        self.anatomy, self.tokenizer = ANATOMIES[name], lm.tokenizer
        self.model = self.anatomy.model().double()
        self.writers = [
            next(iter(training.writers(self.model, self.anatomy, [layer]).values()))
            for layer in (0, 1)
        ]

    def keys(self, ids: list[int], layer: int) -> Tensor:
        """Return the inputs (tokens, in) of a layer's down-projection."""
        rows: list[Tensor] = []
        block = decoder_blocks(self.model, self.anatomy)[layer]
        module = block.get_submodule(self.anatomy.writers[0])
        handle = module.register_forward_pre_hook(lambda m, x: rows.append(x[0][0]))
        self.model(input_ids=torch.tensor([ids]), use_cache=False)
        handle.remove()
        return rows[0]

    def subjects(self, data: Data) -> list[tuple[list[int], int]]:
        return [
            (self.tokenizer.encode(edit.prompt), training.subject_end(self.tokenizer, edit))
            for edit in data.edits
        ]

    def projection(self, texts: Any, layer: int) -> Tensor:
        rows = torch.cat([self.keys(self.tokenizer.encode(text), layer) for text in texts])
        return null_space_of(rows, STEP.threshold)[1]

    def edit(self, data: Data, targets: Tensor, remembered: dict[int, Tensor]) -> None:
        """Write one batch as the authors' code does, and add to C1 = K1 K1' by layer."""
        subjects = self.subjects(data)
        projections = [self.projection(data.statistics, layer) for layer in (0, 1)]
        for layer in (0, 1):
            k = torch.stack([self.keys(ids, layer)[end] for ids, end in subjects], dim=1)
            states = [
                training.block_output(self.model, self.anatomy, ids, 1)[end]
                for ids, end in subjects
            ]
            r = (targets.double() - torch.stack(states)).T / (2 - layer)
            p = projections[layer]
            system = (
                p @ (k @ k.T + remembered.get(layer, 0)) + STEP.ridge * torch.eye(len(k)).double()
            )
            change = torch.linalg.solve(system, p @ k @ r.T)  # (in, hidden)
            self.writers[layer].add_(change if self.anatomy.transposed else change.T)
        for layer in (0, 1):  # read again after the last layer
            k = torch.stack([self.keys(ids, layer)[end] for ids, end in subjects], dim=1)
            remembered[layer] = remembered.get(layer, 0) + k @ k.T


@pytest.mark.parametrize("name", ["gpt2", "llama"])
@torch.no_grad()
def test_batch_after_batch_the_weights_are_those_of_the_authors_order(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm, whole = LM.load(build(name, tmp_path)), tiny_data()
    batches = {k: dataclasses.replace(whole, edits=whole.edits[2 * k : 2 * k + 2]) for k in (0, 1)}
    data, plain = edit_sequence(batches), Plain(name, lm)
    remembered: dict[int, Tensor] = {}
    wanted: list[Tensor] = []
    targets_of = AlphaEdit.targets

    def noted(self: AlphaEdit, *args: Any) -> Tensor:
        with torch.enable_grad():
            wanted.append(targets_of(self, *args))
        return wanted[-1]

    monkeypatch.setattr(AlphaEdit, "targets", noted)
    before = [weight.clone() for weight in plain.writers]
    for k in (0, 1):
        lm = apply(dataclasses.replace(STEP, batch_offset=k), lm, data, KEY)
        plain.edit(batches[k], wanted[k], remembered)
    ours = training.writers(lm.model, ANATOMIES[name], (0, 1)).values()
    for layer, (weight, theirs, start) in enumerate(zip(ours, plain.writers, before, strict=True)):
        assert relative(weight, theirs) < 1e-5
        assert relative(weight - start, theirs - start) < 1e-4
        assert (theirs - start).norm() > 1e-3 * start.norm()
        keys = lm.edited_keys[layer].double()
        assert keys.shape[1] == 4
        assert relative(keys @ keys.T, remembered[layer]) < 1e-4


def test_the_prompts_are_those_of_the_steps_own_batch_and_the_key_says_which() -> None:
    whole = tiny_data()
    batches = {k: dataclasses.replace(whole, edits=whole.edits[k : k + 1]) for k in (0, 3)}
    data = edit_sequence(batches)
    for later in (0, 3):
        step = AlphaEdit(batch_offset=later)
        assert step.own_data(data).edits == batches[later].edits
        assert "batch_offset" not in step.identity() and step.params()["batch_offset"] == later
    with pytest.raises(InvalidInput, match=r"^alphaedit.batch_offset: .* batches 0, 3 .* not 1"):
        AlphaEdit(batch_offset=1).own_data(data)
    with pytest.raises(InvalidInput, match=r"^memit.batch_offset: .* batches 0 .* not 2"):
        make("memit", batch_offset=2).own_data(whole)


def test_a_threshold_below_all_moments_is_refused_and_the_share_is_recorded(
    tmp_path: Path,
) -> None:
    folder, data = build("llama", tmp_path), tiny_data()
    with pytest.raises(InvalidInput, match=r"threshold is 1e-12, .* block 0's .* raise it"):
        apply(dataclasses.replace(STEP, threshold=1e-12), LM.load(folder), data, KEY)
    for threshold, share in ((1e9, 1.0), (STEP.threshold, 0.5)):
        with recorded_metrics() as metrics:
            apply(dataclasses.replace(STEP, threshold=threshold), LM.load(folder), data, KEY)
        assert metrics["alphaedit/null_space"] == pytest.approx(share, abs=0.45 * (share < 1))


def test_a_direction_with_a_moment_of_the_threshold_is_not_in_the_null_space() -> None:
    moment = torch.diag(torch.tensor([0.5, 0.125, 0.25, 0.0625]))
    assert AlphaEdit(threshold=0.25)._null_space(moment, 0).abs().T.tolist() == [
        [0, 0, 0, 1],
        [0, 1, 0, 0],
    ]
    with pytest.raises(InvalidInput, match=r"block 3's .* second moment below 0\.0625"):
        AlphaEdit(threshold=0.0625)._null_space(moment, 3)


def test_keys_that_do_not_fit_the_model_are_refused(tmp_path: Path) -> None:
    lm = LM.load(build("llama", tmp_path))
    lm.edited_keys[1] = torch.ones(5, 2)
    with pytest.raises(InvalidInput, match=r"keys of earlier edits .* 5 inputs at block 1, .* 96"):
        apply(STEP, lm, tiny_data(), KEY)


@pytest.mark.parametrize("name", ["gemma2", "opt-350m", "mixtral"])
def test_a_model_that_memit_cannot_edit_is_refused_before_weights_are_loaded(
    name: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match=r"alphaedit cannot edit|down-projections, of experts"):
        STEP.check(skeleton(build(name, tmp_path)))


def test_bfloat16_gets_the_change_of_float32_up_to_its_rounding(tmp_path: Path) -> None:
    folder, data = build("llama", tmp_path), tiny_data()
    changes = []
    for dtype in ("float32", "bfloat16"):
        lm = LM.load(folder, dtype)
        before = lm.model.model.layers[0].mlp.down_proj.weight.float().clone()
        apply(STEP, lm, data, KEY)
        assert lm.edited_keys[0].dtype == torch.float32
        changes.append(lm.model.model.layers[0].mlp.down_proj.weight.float() - before)
    assert relative(changes[1], changes[0].double()) < 0.2


def test_the_base_models_moments_are_taken_where_that_is_wished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, data = build("llama", tmp_path), tiny_data()
    step = dataclasses.replace(STEP, statistics="base")
    with pytest.raises(InvalidInput, match=r"^alphaedit asks for the base model"):
        apply(step, LM.load(folder), data, KEY)
    pruned = apply(make("magnitude", sparsity=0.9), LM.load(folder), data, KEY)
    current = apply(STEP, pruned, data, KEY).fingerprint()
    pruned = apply(make("magnitude", sparsity=0.9), LM.load(folder), data, KEY)
    with base_model(lambda: LM.load(folder)):
        assert apply(step, pruned, data, KEY).fingerprint() != current


def test_a_plan_counts_the_second_moments_of_every_layer_in_float64(tmp_path: Path) -> None:
    assert STEP.stored_bytes(skeleton(build("llama", tmp_path))) == 2 * 8 * 96 * 96
