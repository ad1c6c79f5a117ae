"""Facts that every intervention and criterion leans on, per anatomy, against plain passes."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from interventions.compression.calibration import calibrated_blocks
from interventions.criteria.base import CRITERIA
from interventions.criteria.editing import edit_success, generated
from interventions.data.base import Data
from interventions.editing.prompts import EditPrompts
from interventions.lm import LM
from tests.anatomies import training
from tests.anatomies.cells import Wrong
from tests.anatomies.references import count_saved, in_order, inputs, matrices
from tests.anatomies.texts import sentences
from tests.anatomies.zoo import ANATOMIES, POSITIONS


def calibration_inputs(name: str, folder: Path, data: Data) -> str:
    """Check the inputs of every matrix that calibration collects, in a ragged batch."""
    lm, anatomy = LM.load(folder), ANATOMIES[name]
    collected: dict[str, list[Tensor]] = {}
    for index, (_, observe) in enumerate(calibrated_blocks(lm, data.calibration)):
        observe(functools.partial(_collect, collected, index))
    rows = in_order(lm.tokenizer, data.calibration, 2048)
    expected = inputs(anatomy.model(), anatomy, rows)
    missing = [path for path in expected if path not in collected]
    off = {
        path: float((torch.cat(parts).double() - expected[path]).norm() / expected[path].norm())
        for path, parts in collected.items()
        if path in expected
    }
    worst = max(off, key=lambda path: off[path])
    if missing or off[worst] > 1e-5:
        raise Wrong(
            f"{len(missing)} of {len(expected)} matrices missing; inputs of"
            f" {sum(value > 1e-5 for value in off.values())} off, {worst} by {off[worst]:.2g}"
        )
    return f"{len(off)} matrices, worst {off[worst]:.0e}"


def _collect(collected: dict[str, list[Tensor]], index: int, path: str, x: Tensor) -> None:
    collected.setdefault(f"{index}.{path}", []).append(x)


def counted(name: str, folder: Path, data: Data) -> str:
    """Check the criteria's number of weights: every block matrix at 16 bits."""
    lm, anatomy = LM.load(folder), ANATOMIES[name]
    every = matrices(lm.model, anatomy)
    # a known share of zeros in one matrix tells the weight that a criterion gives it
    target = max(every, key=lambda path: every[path].view.numel())
    every[target].view.zero_()
    total = count_saved(folder, anatomy).weights
    expected = every[target].view.numel() / total
    measured = CRITERIA.get("sparsity")(lm, data).value
    if abs(measured - expected) > 1e-6:
        raise Wrong(
            f"zeros in {target} are {expected:.4f} of all, criterion sparsity {measured:.4f}"
        )
    return f"{len(every)} matrices"


def answers(name: str, folder: Path, data: Data) -> str:
    """Check that a model that answers every prompt perfectly, and then ends, scores 1.000."""
    return perfect_answers(LM.load(folder), data)


def perfect_answers(lm: LM, data: Data) -> str:
    """Check the same with any tokenizer; the model's ``generate`` is replaced."""
    end = lm.tokenizer.eos_token_id
    known = {}
    for edit in data.edits:
        prompt = lm.tokenizer.encode(edit.prompt)
        whole = lm.tokenizer.encode(f"{edit.prompt} {edit.target}")
        known[tuple(prompt)] = [token for token in whole[len(prompt) :] if token != end]

    def generate(*args: Any, **kwargs: Any) -> Tensor:
        rows = []
        for ids, mask in zip(kwargs["input_ids"], kwargs["attention_mask"], strict=True):
            answer = known[tuple(ids[mask.bool()].tolist())]
            room = kwargs["max_new_tokens"]
            rows.append([*ids.tolist(), *[*answer, *[end] * room][:room]])
        return torch.tensor(rows)

    lm.model.generate = generate  # of this instance only
    score = edit_success(lm, data).value
    if abs(score - 1) > 1e-9:
        raise Wrong(f"a perfect answerer's edit_success is {score:.3f}")
    return "perfect answerer 1.000"


def greedy(name: str, folder: Path, data: Data) -> str:
    """Check that answers are the most likely tokens, whatever ``generation_config`` says."""
    lm = LM.load(folder)
    lm.model.generation_config.repetition_penalty = 1.3
    lm.model.generation_config.do_sample = False
    pairs = tuple((prompt.prompt, prompt.answer) for prompt in data.locality)
    end, changed = lm.tokenizer.eos_token_id, 0
    for (prompt, _), (answer, _) in zip(pairs, generated(lm, pairs), strict=True):
        with torch.no_grad():
            expected = training.greedy(lm.model, lm.tokenizer.encode(prompt), len(answer))
        if end in expected:
            expected = expected[: expected.index(end)]
        changed += answer[: len(expected)] != expected
    if changed:
        raise Wrong(f"{changed} of {len(pairs)} answers follow the checkpoint's penalty")
    return f"{len(pairs)} answers"


def context(name: str, folder: Path, data: Data) -> str:
    """Check that no pass is longer than the model's positions: perplexity, and calibration."""
    lm = LM.load(folder)
    limit = _positions(lm.model)
    if limit is None:
        return "no limit"
    text = " ".join(sentences(40, seed=9))
    longest = 0

    def hook(module: Any, args: Any, kwargs: Any) -> None:
        nonlocal longest
        longest = max(longest, kwargs["input_ids"].shape[1])

    handle = lm.model.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        CRITERIA.get("wikitext_ppl")(lm, dataclasses.replace(data, test_text=(text,), window=512))
        next(iter(calibrated_blocks(lm, [text])))
    except IndexError as error:
        raise Wrong(f"IndexError in a pass of {longest} tokens; it has {limit}") from error
    finally:
        handle.remove()
    if longest > limit:
        raise Wrong(f"a pass has {longest} tokens; the model has {limit} positions")
    return f"at most {longest} tokens"


def _positions(model: Any) -> int | None:
    config = model.config.get_text_config()
    for field in ("max_position_embeddings", "n_positions", "max_seq_len"):
        if getattr(config, field, None) is not None:
            assert getattr(config, field) == POSITIONS
            return POSITIONS
    return None


def subjects(lm: LM, data: Data) -> str:
    """Check that MEMIT looks at the subjects' last tokens, behind a prefix too."""
    for prefix in ("", "The river. "):
        edits = [dataclasses.replace(edit, prompt=f"{prefix}{edit.prompt}") for edit in data.edits]
        rows = EditPrompts(lm, data.edits, [prefix], answers=False).subjects[1].tolist()
        expected = [training.subject_end(lm.tokenizer, edit) for edit in edits]
        if rows != expected:
            raise Wrong(f"positions {rows}, but the subjects end at {expected}")
    return "positions"


def labels(lm: LM, data: Data) -> str:
    """Check that training on answers counts the target's tokens in their context, and no other."""
    pairs = [(edit.prompt, f" {edit.target}") for edit in data.edits]
    encoded, counted = lm.encode_pairs(pairs)
    for ids, row, (prompt, answer) in zip(encoded["input_ids"], counted, pairs, strict=True):
        first = len(lm.tokenizer.encode(prompt))
        whole = lm.tokenizer.encode(prompt + answer)
        if row[row != -100].tolist() != whole[first:] or ids[: len(whole)].tolist() != whole:
            raise Wrong(f"counts {row[row != -100].tolist()} instead of {whole[first:]}")
    return "labels"


TOKENIZER_FACTS = {"answers": perfect_answers, "subjects": subjects, "labels": labels}
FACTS = {
    "inputs": calibration_inputs,
    "counted": counted,
    "answers": answers,
    "greedy": greedy,
    "context": context,
}
