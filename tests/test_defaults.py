"""What is left out is off, or none: the flags and numbers that are something else by default."""

import ast
import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.quality.plain_words import PACKAGES, python_files

# flags that are on, each where leaving it out must not lose, hide or permit anything
ON = {
    "Cell.is_random",
    "Intervention.recompressed_in_paper",
    "PointGains.bounded",
    "PromptFormat.adds_special_tokens",
    "QuestionSet.letters",
    "RegisteredCheckpoint.is_new",
    "__init__.keeps",
    "answer_labels.add_special_tokens",
    "check_reachable.writing",
    "context.add_generation_prompt",
    "is_sound.again",
    "items.last",
    "log_checkpoint_model.as_artifact",
    "master_weights.copies",
    "moments_of_scores.bounded",
    "refuse.recorded",
    "run_in_batches.padded",
    "run_settings.split",
    "set_read_only.read_only",
    "train_on_answers.copies",
}
# numbers that are not 0
NUMBERS = {
    "Data.window": 1024,  # tokens
    "Fact.tellings": 1.0,
    "Fact.phases": (0.0, 0.0),
    "GridRequest.edit_batches": 1,
    "GridRequest.seeds": 1,
    "GridRequest.workers": 1,
    "Levels.bits": (4, 3),
    "Levels.sparsity": (0.25, 0.65),
    "Mixer.density": 1.0,
    "PairTest.factor": 1.0,
    "QuestionSet.chance": 0.25,  # of four choices
    "Recipe.betas": (0.9, 0.98),
    "Recipe.hop_lr": 1e-3,
    "Recipe.hop_passes": 4,
    "Recipe.lr": 3e-3,
    "Recipe.passes": 22,
    "Recipe.spread": 0.7,
    "Recipe.warmup": 0.03,
    "Recipe.weight_decay": 0.01,
    "Resources.workers": 1,
    "__init_subclass__.version": 1,
    "_first_values.most": 6,
    "_units.least_words": 1,
    "batches_needed.confidence": 0.95,
    "check_job_count.edit_batches": 1,
    "check_job_count.seeds": 1,
    "consecutive.most": 5,
    "criterion.version": 1,
    "did_you_mean.cutoff": 0.5,
    "did_you_mean.most": 1,
    "fit_grid.shrink": 1.0,
    "grid.edit_batches": 1,
    "grid.seeds": 1,
    "grid.workers": 1,
    "input_norms.unseen": 1.0,
    "number.digits": 2,
    "paired_test.confidence": 0.95,
    "read_study_request.workers": 1,
    "row_slices.together": 1,
    "tune.workers": 1,
    "units_in_words.confidence": 0.95,
}


class Default(NamedTuple):
    """Of an argument of a function, or of a field of a class.

    Attributes:
        name: with the function's or the class' before it.
        value: a flag, a number, or several numbers.
    """

    name: str
    value: bool | float | tuple[float, ...]


def defaults(source: str) -> Iterator[Default]:
    """Yield the flags and numbers that a file's arguments and fields are by default."""
    for node in ast.walk(ast.parse(source)):
        owner = getattr(node, "name", "")
        for name, value in _arguments(node) if owner else ():
            with contextlib.suppress(ValueError):
                literal = ast.literal_eval(value or ast.Constant(None))
                numbers = literal if isinstance(literal, tuple) else (literal,)
                if numbers and all(isinstance(number, int | float) for number in numbers):
                    yield Default(f"{owner}.{name}", literal)


def _arguments(node: ast.AST) -> Iterator[tuple[str, ast.expr | None]]:
    if isinstance(node, ast.FunctionDef):
        arguments = node.args
        positional = [*arguments.posonlyargs, *arguments.args]
        with_default = positional[len(positional) - len(arguments.defaults) :]
        for argument, value in zip(with_default, arguments.defaults, strict=True):
            yield argument.arg, value
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
            yield argument.arg, default
    elif isinstance(node, ast.ClassDef):
        for line in node.body:
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                yield line.target.id, line.value


@pytest.fixture(scope="module")
def everything() -> list[Default]:
    return [default for path in python_files(*PACKAGES) for default in defaults(path.read_text())]


def test_a_flag_that_is_left_out_is_off(everything: list[Default]) -> None:
    assert {name for name, value in everything if value is True} == ON
    assert {name.partition(".")[2] for name, value in everything if value is False} >= {
        *("trust_remote_code", "allow_pickle"),
    }


def test_a_number_that_is_left_out_is_none(everything: list[Default]) -> None:
    numbers = [default for default in everything if not isinstance(default.value, bool)]
    assert {name: value for name, value in numbers if value} == NUMBERS
    assert {name.partition(".")[2] for name, value in numbers if not value} >= {
        *("seed", "edit_batch", "limit", "stride"),
    }


def test_defaults_are_those_of_arguments_and_fields() -> None:
    fields, arguments = (
        "a: int = 3; b = 4; c: int",
        "d, e=True, *, f, g=0.5, h='x', i=(1, 2), j=('y',)",
    )
    source = f"class A: {fields}\ndef f({arguments}): ..."
    assert list(defaults(source)) == [("A.a", 3), ("f.e", True), ("f.g", 0.5), ("f.i", (1, 2))]
