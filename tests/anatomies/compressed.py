"""Checks of compressions: every matrix of the blocks against the papers' algorithms."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from interventions.criteria.base import CRITERIA
from interventions.lm import LM
from tests.anatomies import methods
from tests.anatomies.cells import GROUP, SETTINGS, Case, Wrong
from tests.anatomies.references import (
    decoder_blocks,
    in_order,
    inputs,
    matrices,
    on_a_grid,
    weights,
)

_EXPERT = re.compile(r"\.\d+\.(?=\w+$)")  # between the experts' path and the parameter
_FLIPS = 1e-4  # share of weights that float32 may decide differently


def magnitude(case: Case) -> str:
    """Check that every matrix lost its weights of lowest magnitude, and the criterion."""
    sparsity = SETTINGS["magnitude"]["sparsity"]
    before, after = weights(case.anatomy.model(), case.anatomy), _after(case)
    _same_values(after, {name: methods.magnitude(w, sparsity) for name, w in before.items()})
    _sparsity_counted(case)
    return "weights, sparsity counted"


def rtn(case: Case) -> str:
    """Check that every matrix is rounded to nearest, and the criterion."""
    bits = SETTINGS["rtn"]["bits"]
    before, after = weights(case.anatomy.model(), case.anatomy), _after(case)
    _same_values(after, {name: methods.rtn(w, bits, GROUP) for name, w in before.items()})
    _bits_counted(case, bits)
    return "weights, bits counted"


def hqq(case: Case) -> str:
    """Check that every matrix is rounded to HQQ's grids, and the criterion."""
    bits = SETTINGS["hqq"]["bits"]
    before, after = weights(case.anatomy.model(), case.anatomy), _after(case)
    # a tie that float32 decides differently moves all zeros of its group
    _same_values(after, {name: methods.hqq(w, bits, GROUP) for name, w in before.items()})
    _bits_of_real_zeros_counted(case, bits)
    return "weights, bits counted"


def wanda(case: Case) -> str:
    """Check every matrix's mask, block by block, on the inputs that the pruned blocks give."""
    sparsity = SETTINGS["wanda"]["sparsity"]
    expected: dict[str, Tensor] = {}
    for _, before, x in _by_block(case):
        expected |= {name: methods.wanda(w, x[name], sparsity) for name, w in before.items()}
    _same_values(_after(case), expected)
    _sparsity_counted(case)
    return "masks, sparsity counted"


def sparsegpt(case: Case) -> str:
    """Check every matrix's loss against the authors' algorithm."""
    sparsity = SETTINGS["sparsegpt"]["sparsity"]
    ratio = _loss_ratio(case, lambda w, x: methods.sparsegpt(w, x, sparsity))
    _sparsity_counted(case)
    return f"loss x {ratio:.4f}, sparsity counted"


def gptq(case: Case) -> str:
    """Check every matrix's loss against the authors' algorithm, with the step's own settings.

    A step without the field ``static_groups`` has static groups; one without ``true_sequential``
    quantizes all matrices of a block on the inputs of the unquantized block. Dynamic groups may be
    fitted as in the authors' code, to the weights at the start of 128 columns, or as in the paper
    (section 4), to the most current ones.
    """
    step: Any = case.step
    static = getattr(step, "static_groups", True)
    options = {"static_groups": static, "act_order": step.act_order, "symmetric": step.symmetric}
    sequential = getattr(step, "true_sequential", False)
    fits = {"authors": 128} if static else {"authors": 128, "paper": 1}
    failures = []
    for source, block in fits.items():
        solve = functools.partial(methods.gptq, bits=step.bits, group=GROUP, block=block, **options)
        try:
            ratio = _loss_ratio(case, solve, sequential)
        except Wrong as error:
            failures.append(f"{source}: {error}")
            continue
        if static:
            _bits_counted(case, step.bits)
        else:
            _bits_of_groups_counted(case, step.bits)
        return f"loss x {ratio:.4f} of the {source}', static groups {static}"
    raise Wrong("; ".join(failures))


def awq(case: Case) -> str:
    """Check that every matrix is on a grid, that 8 bits keep the function, and RTN is beaten."""
    step: Any = case.step
    _bits_counted(case, step.bits)
    plain = case.anatomy.model()
    original, rounded = _logits(case, plain), _rounded(case, step.bits)
    ours, theirs = _error(_logits(case, case.lm.model), original), _error(rounded, original)
    fine = type(step)(**{**SETTINGS["awq"], "bits": 8}).apply(LM.load(case.folder), case.data)
    ours_8, theirs_8 = (
        _error(_logits(case, fine.model), original),
        _error(_rounded(case, 8), original),
    )
    scaled = _scaled(case, fine)
    note = (
        f"error {ours:.3f} of rtn's {theirs:.3f}, at 8 bits {ours_8:.1e} of {theirs_8:.1e};"
        f" scaled {scaled}"
    )
    if ours_8 > 3 * theirs_8 or ours > 1.1 * theirs:
        raise Wrong(note)
    return note


def _rounded(case: Case, bits: int) -> list[Tensor]:
    model = case.anatomy.model()
    for matrix in matrices(model, case.anatomy).values():
        matrix.view.copy_(methods.rtn(matrix.view, bits, GROUP))
    return _logits(case, model)


@torch.no_grad()
def _logits(case: Case, model: Any) -> list[Tensor]:
    rows = in_order(case.lm.tokenizer, case.data.test_text, 64)
    return [model(input_ids=torch.tensor([ids])).logits[0].double() for ids in rows]


def _error(changed: list[Tensor], original: list[Tensor]) -> float:
    difference = torch.cat(changed) - torch.cat(original)
    return float(difference.norm() / torch.cat(original).norm())


def _scaled(case: Case, fine: LM) -> str:
    """Return how many matrices have inputs scaled, told from their weights' ratios at 8 bits."""
    before = weights(case.anatomy.model(), case.anatomy)
    after = weights(fine.model, case.anatomy)
    count = 0
    for name, weight in before.items():
        ratios = after[name] / weight
        # a scale of the outputs is taken out: row by row it is the ratios' median
        columns = (ratios / ratios.median(dim=1, keepdim=True).values).median(dim=0).values
        count += bool(columns.max() / columns.min() > 1.1)
    return f"{count} of {len(before)}"


def _after(case: Case) -> dict[str, Tensor]:
    return weights(case.lm.model, case.anatomy)


def _by_block(
    case: Case, sequential: bool = False
) -> Iterator[tuple[int, dict[str, Tensor], dict[str, Tensor]]]:
    """Yield (block, its matrices before, their inputs); the blocks before it are as they became.

    With ``sequential`` a matrix's inputs come from a pass in which those of the block that are used
    before it are as they became, too.
    """
    model = case.anatomy.model()
    rows = in_order(case.lm.tokenizer, case.data.calibration, 2048)
    final = decoder_blocks(case.lm.model, case.anatomy)
    changed = matrices(case.lm.model, case.anatomy)
    for index, block in enumerate(decoder_blocks(model, case.anatomy)):
        prefix = f"{index}."
        own = {
            name: m for name, m in matrices(model, case.anatomy).items() if name.startswith(prefix)
        }
        before = {name: matrix.view.double().clone() for name, matrix in own.items()}
        x = inputs(model, case.anatomy, rows, index)
        if sequential:
            for names in _stages(x):
                current = inputs(model, case.anatomy, rows, index)
                for name in names:
                    x[name] = current[name]
                for name in names:
                    own[name].view.copy_(changed[name].view)
        yield index, before, x
        block.load_state_dict(final[index].state_dict())


def _stages(x: dict[str, Tensor]) -> list[list[str]]:
    """Return names in the order of use, those with equal inputs together, experts' likewise."""
    stages: list[list[str]] = []
    for name, own in x.items():
        if stages:
            last = x[stages[-1][0]]
            if last.shape == own.shape and torch.equal(last, own):
                stages[-1].append(name)
                continue
        stages.append([name])
    experts: dict[str, list[str]] = {}
    merged: list[list[str]] = []
    for stage in stages:
        kind = _EXPERT.sub(".", stage[0])
        if kind in experts:
            experts[kind] += stage
            continue
        if kind != stage[0]:
            experts[kind] = stage
        merged.append(stage)
    return merged


def _loss_ratio(
    case: Case, reference: Callable[[Tensor, Tensor], Tensor], sequential: bool = False
) -> float:
    """Return our losses' sum over the reference's; within 1 % in all, and 5 % in each matrix."""
    after = _after(case)
    ours, theirs = 0.0, 0.0
    far: list[str] = []
    unchanged = 0
    for _, before, x in _by_block(case, sequential):
        for name, weight in before.items():
            unchanged += bool(torch.equal(after[name], weight))
            our_loss = methods.loss(weight, after[name], x[name])
            their_loss = methods.loss(weight, reference(weight, x[name]), x[name])
            ours, theirs = ours + our_loss, theirs + their_loss
            if abs(our_loss - their_loss) > 0.05 * their_loss:
                far.append(f"{name} x {our_loss / their_loss:.2f}")
    if unchanged:
        raise Wrong(f"{unchanged} of {len(after)} matrices are as they were")
    if abs(ours / theirs - 1) > 0.01 or far:
        raise Wrong(f"loss x {ours / theirs:.4f} of the authors'; far off: {', '.join(far[:4])}")
    return ours / theirs


def _same_values(after: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Raise Wrong unless all but a few weights are the expected ones."""
    different, total = 0, 0
    worst = ("", 0.0)
    for name, values in expected.items():
        close = (after[name] - values).abs() <= 1e-5 * values.abs().max()
        share = 1 - float(close.double().mean())
        worst = max(worst, (name, share), key=lambda pair: pair[1])
        different, total = different + int((~close).sum()), total + values.numel()
    if different > _FLIPS * total:
        raise Wrong(
            f"{different / total:.2%} of the weights differ from the reference,"
            f" {worst[1]:.1%} of {worst[0]}"
        )


def _sparsity_counted(case: Case) -> None:
    measured, counted = CRITERIA.get("sparsity")(case.lm, case.data).value, case.saved().sparsity
    if abs(measured - counted) > 1e-6:
        raise Wrong(f"criterion sparsity {measured:.4f}, saved files {counted:.4f}")


def _bits_of_groups_counted(case: Case, bits: int) -> None:
    """Check bits where a grid says which group each input is of, which no file's weights tell."""
    off = []
    for name, weight in _after(case).items():
        grid: Any = case.lm.grids.get(name)
        groups = getattr(grid, "input_groups", None)
        order = torch.arange(weight.shape[1])
        if groups is not None:
            if set(groups.bincount().tolist()) != {GROUP}:
                raise Wrong(f"the groups of {name} are not of {GROUP} inputs each")
            order = groups.argsort(stable=True)
        if grid is None or not on_a_grid(weight[:, order], bits, GROUP):
            off.append(name)
    if off:
        raise Wrong(f"{len(off)} matrices are on no grid: {', '.join(off[:3])}")
    measured, wanted = CRITERIA.get("average_bits")(case.lm, case.data).value, bits + 32 / GROUP
    if abs(measured - wanted) > 1e-6:
        raise Wrong(f"criterion average_bits {measured:.3f} instead of {wanted:.3f}")


def _bits_of_real_zeros_counted(case: Case, bits: int) -> None:
    """Check bits where 0 is on no grid: the values of a group less its lowest are on one."""
    for name, weight in _after(case).items():
        grouped = weight.double().unflatten(1, (-1, GROUP))
        if not on_a_grid((grouped - grouped.amin(-1, keepdim=True)).flatten(1), bits, GROUP):
            raise Wrong(f"{name} is on no grid of {bits} bits")
    measured, wanted = CRITERIA.get("average_bits")(case.lm, case.data).value, bits + 32 / GROUP
    if abs(measured - wanted) > 1e-6:
        raise Wrong(f"criterion average_bits {measured:.3f} instead of {wanted:.3f}")


def _bits_counted(case: Case, bits: int) -> None:
    measured = CRITERIA.get("average_bits")(case.lm, case.data).value
    counted, wanted = case.saved(bits).bits, bits + 32 / GROUP
    if abs(counted - wanted) > 1e-6:
        raise Wrong(
            f"saved files {counted:.3f} bits instead of {wanted:.3f}; criterion {measured:.3f}"
        )
    if abs(measured - counted) > 1e-6:
        raise Wrong(f"criterion average_bits {measured:.3f}, saved files {counted:.3f}")
