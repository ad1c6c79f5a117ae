"""Defaults, bounds, levels and limits are those that the reference says; switches are off."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.quality.plain_words import PACKAGES, ROOT, python_files
from tests.quality.reference_pages import (
    HYPERPARAMETERS,
    NUMBERS,
    criterion_rows,
    hyperparameter_sections,
    is_of_the_house,
    numbers,
)

# a file that is dropped in, or a plug-in's class, need not be in the pages


def test_every_intervention_is_what_the_page_of_hyperparameters_says() -> None:
    sections = hyperparameter_sections()
    for printed in HYPERPARAMETERS.read_text().strip().split("\n\n## ")[1:]:
        name = printed.partition("\n")[0]
        assert sections.get(name) == f"## {printed}"


def test_every_number_is_the_one_that_the_page_of_numbers_says() -> None:
    sections = dict(re.findall(r"^## (\w+)\n\n(.*?)\n(?=\n|\Z)", NUMBERS.read_text(), re.M | re.S))
    for package in PACKAGES:
        printed = set(sections[package].splitlines()[2:])
        rows = numbers(package)
        assert printed <= set(rows.values())
        missing = [place for place, row in rows.items() if row not in printed]
        assert [file for file, _ in missing if is_of_the_house(file)] == []


def test_every_criterion_is_what_the_page_of_numbers_says() -> None:
    printed = NUMBERS.read_text().partition("\n## Criteria\n")[2].strip().splitlines()[2:]
    assert printed and set(printed) <= set(criterion_rows().values())


def switches(path: Path) -> Iterator[tuple[str, bool]]:
    """Yield the arguments and fields of a file that are True or False by default."""
    for node in ast.walk(ast.parse(path.read_text())):
        pairs: list[tuple[str, ast.expr | None]] = []
        if isinstance(node, ast.FunctionDef | ast.Lambda):
            named = node.args
            positional = [argument.arg for argument in (*named.posonlyargs, *named.args)]
            pairs += zip(reversed(positional), reversed(named.defaults), strict=False)
            pairs += zip(
                (argument.arg for argument in named.kwonlyargs), named.kw_defaults, strict=True
            )
        elif isinstance(node, ast.AnnAssign):
            pairs.append((ast.unparse(node.target), node.value))
        for name, value in pairs:
            if isinstance(value, ast.Constant) and isinstance(value.value, bool):
                yield name, value.value


# checks of what is there, and what somebody would have to ask against
ON = {
    ("analysis/inference/item_variance.py", "bounded"),
    ("analysis/inference/moments.py", "bounded"),
    ("analysis/report/hypotheses/cells.py", "is_random"),
    ("composability/commands/options.py", "split"),
    ("interventions/answer_labels.py", "add_special_tokens"),
    ("interventions/base.py", "recompressed_in_paper"),
    ("interventions/criteria/engine/batching.py", "padded"),
    ("interventions/criteria/engine/evaluation.py", "add_generation_prompt"),
    ("interventions/data/question_set.py", "letters"),
    ("interventions/files.py", "read_only"),
    ("interventions/master_weights.py", "copies"),
    ("interventions/prompt_format.py", "adds_special_tokens"),
    ("tracking/checkpoints/logged_models.py", "as_artifact"),
    ("tracking/checkpoints/store.py", "again"),
    ("tracking/checkpoints/values.py", "keeps"),
    ("tracking/item_scores.py", "last"),
    ("tracking/lifecycle.py", "recorded"),
    ("tracking/reachable.py", "writing"),
    ("tracking/registration.py", "is_new"),
}


def test_what_nobody_asks_for_is_off_but_what_is_listed() -> None:
    on = set()
    for path in python_files(*PACKAGES):
        file = path.relative_to(ROOT).as_posix()
        on |= {(file, name) for name, value in switches(path) if value}
    assert {place for place in on if is_of_the_house(place[0])} == ON
