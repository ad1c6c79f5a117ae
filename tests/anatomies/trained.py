"""Checks of what trains or edits: which parameters changed, and how, against plain loops."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from itertools import cycle, islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interventions.editing.second_moments import second_moments
from tests.anatomies import training
from tests.anatomies.cells import Case, Wrong
from tests.anatomies.references import decoder_blocks, in_order, inputs, is_router, weights
from tests.anatomies.training import Rows

_EXPERT = re.compile(r"\.\d+\.(?=\w+$)")  # between the experts' path and the parameter
Loss = Callable[[Any, Rows], Tensor]
_CHANGE = 0.02  # relative difference of two changes that float32 and Adam's first steps explain
_MISS = 0.01  # share of the way to MEMIT's target that may be missed


def ft(case: Case) -> str:
    """Check that the MLPs' writers of the layers learned, like in a plain loop."""
    step: Any = case.step
    rows = training.answer_rows(case.lm.tokenizer, case.data.edits)
    notes = []
    for name, loss in (
        ("mean over tokens", training.mean_over_tokens),
        ("mean over edits", training.mean_over_edits),
    ):
        model = case.anatomy.model().double()
        learned = _unfrozen(training.writers(model, case.anatomy, step.layers))
        optimizer = torch.optim.Adam(list(learned.values()), lr=step.lr)
        loss_of_step = functools.partial(_loss_of_step, loss, model, rows)
        gradients = training.train(learned, loss_of_step, step.steps, optimizer)
        difference = _difference(case, learned, gradients)
        if difference <= _CHANGE:
            return f"loop, {name} ({difference:.0e})"
        notes.append(f"{name} {difference:.2g}")
    raise Wrong(f"change differs from the plain loop's by {'; '.join(notes)}")


def _loss_of_step(loss: Loss, model: Any, rows: Rows, index: int) -> Tensor:
    return loss(model, rows)


def ga(case: Case) -> str:
    """Check gradient ascent against a plain loop."""
    return _ascent(case, retain=False)


def gd(case: Case) -> str:
    """Check gradient difference against a plain loop."""
    return _ascent(case, retain=True)


def _ascent(case: Case, retain: bool) -> str:
    step: Any = case.step
    model = case.anatomy.model().double()
    last = training.last_parameters(model, case.anatomy, step.last_layers)
    still = _untouched_routers(case)
    learned = _unfrozen({name: p for name, p in last.items() if name not in still})
    optimizer = torch.optim.AdamW(list(learned.values()), lr=step.lr, weight_decay=0.0)
    forget = training.text_rows(case.lm.tokenizer, case.data.forget, step.max_tokens)
    retained = cycle(training.text_rows(case.lm.tokenizer, case.data.retain, step.max_tokens))

    def loss(index: int) -> Tensor:
        rows = forget[index * step.batch : (index + 1) * step.batch]
        total = -training.mean_over_tokens(model, rows)
        if retain:
            kept_rows = list(islice(retained, step.retain_batch))
            total = total + step.retain_weight * training.mean_over_tokens(model, kept_rows)
        return total

    steps = -(-len(forget[: step.samples]) // step.batch)
    gradients = training.train(learned, loss, steps, optimizer)
    note = _within(_difference(case, learned, gradients))
    return f"{note}, routers as they were" if still else note


def finetune(case: Case) -> str:
    """Check fine-tuning of some blocks against a plain loop."""
    step: Any = case.step
    model = case.anatomy.model().double()
    still = _untouched_routers(case)
    learned: dict[str, nn.Parameter] = {}
    for layer in step.layers:
        block = decoder_blocks(model, case.anatomy)[layer]
        learned |= {f"{layer}.{name}": weight for name, weight in block.named_parameters()}
    learned = _unfrozen({name: weight for name, weight in learned.items() if name not in still})
    optimizer = torch.optim.AdamW(list(learned.values()), lr=step.lr, weight_decay=0.0)
    rows = cycle(training.text_rows(case.lm.tokenizer, case.data.retain, step.max_tokens))

    def loss(index: int) -> Tensor:
        return training.mean_over_tokens(model, list(islice(rows, step.batch)))

    gradients = training.train(learned, loss, step.steps, optimizer)
    note = _within(_difference(case, learned, gradients))
    return f"{note}, routers as they were" if still else note


def npo(case: Case) -> str:
    """Check negative preference optimization against a plain loop, with a second model."""
    frozen = case.anatomy.model().double()

    def ratio(losses: Tensor, ids: list[int]) -> Tensor:
        with torch.no_grad():
            before = training.losses(frozen, ids, 1).sum()
        return losses.sum() - before

    return _preference(case, ratio, margin=0.0)


def simnpo(case: Case) -> str:
    """Check SimNPO against a plain loop."""
    step: Any = case.step
    return _preference(case, lambda losses, ids: losses.mean(), step.margin)


def _preference(case: Case, distance: Callable[[Tensor, list[int]], Tensor], margin: float) -> str:
    step: Any = case.step
    model = case.anatomy.model().double()
    last = training.last_parameters(model, case.anatomy, step.last_layers)
    still = _untouched_routers(case)
    learned = _unfrozen({name: p for name, p in last.items() if name not in still})
    optimizer = torch.optim.AdamW(list(learned.values()), lr=step.lr, weight_decay=0.0)
    forget = cycle(training.text_rows(case.lm.tokenizer, case.data.forget, step.max_tokens))
    retained = cycle(training.text_rows(case.lm.tokenizer, case.data.retain, step.max_tokens))

    def loss(index: int) -> Tensor:
        texts = []
        for ids, first in islice(forget, step.batch):
            away = distance(training.losses(model, ids, first), ids)
            texts.append(2 / step.beta * F.softplus(margin - step.beta * away))
        kept = training.mean_over_tokens(model, list(islice(retained, step.retain_batch)))
        return torch.stack(texts).mean() + step.retain_weight * kept

    gradients = training.train(learned, loss, step.steps, optimizer)
    note = _within(_difference(case, learned, gradients))
    return f"{note}, routers as they were" if still else note


def _untouched_routers(case: Case) -> set[str]:
    """Return the routers' parameters if none of them changed: a choice that is a method's own."""
    before, after = _by_name(case.anatomy.model(), case), _by_name(case.lm.model, case)
    routers = {name for name in before if is_router(name.partition(".")[2])}
    changed = any(not torch.equal(before[name], after[name]) for name in routers)
    return set() if changed else routers


def rmu(case: Case) -> str:
    """Check RMU against a plain loop, with a random direction for each topic; topics take turns.

    Data without the part ``forget_topics`` have one topic.
    """
    step: Any = case.step
    model = case.anatomy.model().double()
    layers = range(step.layer - 2, step.layer + 1)
    learned = _unfrozen(training.writers(model, case.anatomy, layers))
    optimizer = torch.optim.AdamW(list(learned.values()), lr=step.lr)
    count = len(getattr(case.data, "forget_topics", ())) or 1
    forget = [_batches(case, case.data.forget[topic::count]) for topic in range(count)]
    retain = [_batches(case, case.data.retain) for _ in range(count)]
    torch.manual_seed(0)
    width = decoder_width(model, case)
    directions = [torch.rand(width) for _ in range(count)]
    targets = [(step.steering * u / u.norm()).double() for u in directions]
    frozen = case.anatomy.model().double()

    def loss(index: int) -> Tensor:
        turn, topic = divmod(index, count)
        with torch.no_grad():
            before = [
                (ids, training.block_output(frozen, case.anatomy, ids, step.layer))
                for ids, _ in retain[topic][turn]
            ]
        return training.rmu_loss(
            model,
            case.anatomy,
            step.layer,
            forget[topic][turn],
            before,
            targets[topic],
            step.alpha,
        )

    gradients = training.train(learned, loss, step.steps, optimizer)
    return f"{_within(_difference(case, learned, gradients))}, {count} topics"


def decoder_width(model: nn.Module, case: Case) -> int:
    """Return the size of a hidden state."""
    ids = case.lm.tokenizer.encode("a")
    with torch.no_grad():
        return training.block_output(model, case.anatomy, ids, 0).shape[-1]


def _batches(case: Case, texts: Any) -> list[Rows]:
    step: Any = case.step
    rows = cycle(training.text_rows(case.lm.tokenizer, texts, step.max_tokens))
    return [list(islice(rows, step.batch)) for _ in range(step.steps)]


def lora(case: Case) -> str:
    """Check that matrices in every block, and they alone, changed by a low rank, and it learned.

    With the target "mlp" they must be all of the MLPs', experts' and shared experts' too.
    """
    step: Any = case.step
    plain = case.anatomy.model()
    _only_changed(case, set(_names(plain, case)), exact=False)
    before, after = weights(plain, case.anatomy), weights(case.lm.model, case.anatomy)
    adapted = {name for name in before if not torch.equal(before[name], after[name])}
    untouched = set(range(len(decoder_blocks(plain, case.anatomy)))) - {
        int(name.partition(".")[0]) for name in adapted
    }
    if untouched:
        raise Wrong(f"blocks {sorted(untouched)} have no adapted matrix")
    for name in adapted:
        values = torch.linalg.svdvals(after[name] - before[name])
        if int((values > 1e-4 * values[0]).sum()) > step.rank:
            raise Wrong(f"the change of {name} has a rank above {step.rank}")
    of_mlps = {name for name in before if "attn" not in name and "attention" not in name}
    # an expert that the edits' tokens never reach learns nothing: experts count together
    is_whole = {_EXPERT.sub(".", name) for name in adapted} == {
        _EXPERT.sub(".", name) for name in of_mlps
    }
    if step.targets == ("mlp",) and not is_whole:
        raise Wrong(f"{len(adapted)} matrices are adapted, the MLPs have {len(of_mlps)}")
    _learned(case, plain)
    share = "all of the MLPs" if is_whole else f"{len(adapted)} of {len(before)} matrices"
    return f"{share}, rank, loss falls"


def memit(case: Case) -> str:
    """Check that the edited positions' states reach their targets, which raise the answers.

    Also that nothing but the writers changed, and that second moments are those of plain passes.
    """
    step: Any = case.step
    plain = case.anatomy.model()
    last = max(step.layers)
    _only_changed(case, set(training.writers(plain, case.anatomy, step.layers)), exact=True)
    original = type(case.lm)(plain, case.lm.tokenizer)
    _moments(case, original)
    targets = step.targets(original, case.data.edits)
    missed = []
    for edit, target in zip(case.data.edits, targets, strict=True):
        ids = case.lm.tokenizer.encode(edit.prompt)
        position = training.subject_end(case.lm.tokenizer, edit)
        with torch.no_grad():
            before = training.block_output(plain, case.anatomy, ids, last)[position]
            after = training.block_output(case.lm.model, case.anatomy, ids, last)[position]
            (whole, first), *_ = training.answer_rows(case.lm.tokenizer, [edit])
            args = (plain, case.anatomy, last, position)
            wanted = training.state_replaced(*args, target, whole, first).mean()
            unwanted = training.state_replaced(*args, before, whole, first).mean()
        if wanted >= unwanted:
            raise Wrong(
                f"the target state does not raise the answer: {wanted:.2f} >= {unwanted:.2f}"
            )
        missed.append(float((after - target).norm() / (before - target).norm()))
    if max(missed) > _MISS:
        raise Wrong(f"states miss {max(missed):.0%} of the way to their targets")
    _learned(case, plain)
    return f"states at targets ({max(missed):.0e}), moments"


def alphaedit(case: Case) -> str:
    """Check what is checked of MEMIT, and that a corpus's large directions are read out as before.

    Also that the keys that were written came with the model.
    """
    step: Any = case.step
    note, plain = memit(case), case.anatomy.model()
    moments = second_moments(type(case.lm)(plain, case.lm.tokenizer), case.data.statistics, (0,))
    sizes, vectors = torch.linalg.eigh(moments[0])
    large = vectors[:, sizes >= step.threshold]
    after, before = (
        next(iter(training.writers(model, case.anatomy, (0,)).values())).detach().double()
        for model in (case.lm.model, plain)
    )
    change = (after - before).T if case.anatomy.transposed else after - before
    moved = float((change @ large).norm() / change.norm())
    if not 0 < large.shape[1] < len(large) or moved > 1e-3:
        raise Wrong(f"{moved:.1e} of the change is along {large.shape[1]} large directions")
    shapes = {layer: tuple(keys.shape) for layer, keys in case.lm.edited_keys.items()}
    if shapes != dict.fromkeys(step.layers, (len(large), len(case.data.edits))):
        raise Wrong(f"the keys that came with the model are {shapes}")
    return f"{note}, null space"


def _moments(case: Case, original: Any) -> None:
    step: Any = case.step
    rows = in_order(case.lm.tokenizer, case.data.statistics, 512)
    moments = second_moments(original, case.data.statistics, step.layers)
    for layer in step.layers:
        x = inputs(original.model, case.anatomy, rows, layer)
        (name,) = [f"{layer}.{path}" for path in case.anatomy.writers if f"{layer}.{path}" in x]
        expected = x[name].T @ x[name] / len(x[name])
        difference = float((moments[layer].double() - expected).norm() / expected.norm())
        if difference > 1e-5:
            raise Wrong(f"second moments of layer {layer} differ by {difference:.1e}")


@torch.no_grad()
def _learned(case: Case, plain: Any) -> None:
    rows = training.answer_rows(case.lm.tokenizer, case.data.edits)
    before = float(training.mean_over_tokens(plain, rows))
    after = float(training.mean_over_tokens(case.lm.model, rows))
    if after >= before:
        raise Wrong(f"the loss of the answers went from {before:.2f} to {after:.2f}")


def _unfrozen(parameters: dict[str, nn.Parameter]) -> dict[str, nn.Parameter]:
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    return parameters


def _names(model: nn.Module, case: Case) -> list[str]:
    return [
        f"{index}.{name}"
        for index, block in enumerate(decoder_blocks(model, case.anatomy))
        for name, _ in block.named_parameters()
    ]


def _only_changed(case: Case, allowed: set[str], *, exact: bool) -> None:
    """Raise Wrong where a parameter changed that must not have, or, if ``exact``, one did not."""
    plain = case.anatomy.model()
    before: dict[str, Tensor] = dict(plain.named_parameters())
    after: dict[str, Tensor] = dict(case.lm.model.named_parameters())
    if set(before) != set(after):
        raise Wrong("the model has other parameters than before")
    in_blocks = {
        id(parameter): f"{index}.{name}"
        for index, block in enumerate(decoder_blocks(plain, case.anatomy))
        for name, parameter in block.named_parameters()
    }
    changed: set[str] = {
        in_blocks.get(id(parameter)) or name
        for name, parameter in before.items()
        if not torch.equal(parameter, after[name])
    }
    foreign, missing = sorted(changed - allowed), sorted(allowed - changed) if exact else []
    if foreign:
        raise Wrong(f"{', '.join(foreign[:3])} changed and should not have")
    if missing:
        raise Wrong(f"{', '.join(missing[:3])} should have changed")


def _difference(
    case: Case, learned: dict[str, nn.Parameter], gradients: dict[str, Tensor]
) -> float:
    """Return the relative difference of our change and the reference's; check which changed.

    Entries whose gradient is nearly 0 are left out: Adam's first steps are the gradient's sign.
    """
    _only_changed(case, set(learned), exact=True)
    original = _by_name(case.anatomy.model(), case)
    ours = _by_name(case.lm.model, case)
    squares, total = 0.0, 0.0
    greatest = max(float(gradient.max()) for gradient in gradients.values())
    for name, parameter in learned.items():
        counted = gradients[name] > 1e-4 * greatest
        theirs = (parameter.detach() - original[name])[counted]
        difference = (ours[name].double() - parameter.detach())[counted]
        squares += float(difference.square().sum())
        total += float(theirs.square().sum())
    return (squares / total) ** 0.5


def _by_name(model: nn.Module, case: Case) -> dict[str, Tensor]:
    return {
        f"{index}.{name}": parameter.detach()
        for index, block in enumerate(decoder_blocks(model, case.anatomy))
        for name, parameter in block.named_parameters()
    }


def _within(difference: float) -> str:
    if difference > _CHANGE:
        raise Wrong(f"change differs from the plain loop's by {difference:.2g}")
    return f"loop ({difference:.0e})"
