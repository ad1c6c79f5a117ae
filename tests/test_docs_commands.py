"""What the README, the tutorial and the how-tos tell their reader to type, typed."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checkouts import ROOT
from tests.documented import Reader, Snippet, new_reader, pages, snippets_of

HOWTO = ROOT / "docs" / "howto"
PAGES = pages()
# what the reader has run before: an edit, and a compression that can be exported packed
EARLIER = 'composability run "ft | rtn(bits=4)"'
EARLIER_RUN = re.compile(r"^run (\w{32}) in ", re.MULTILINE)

# pages whose commands need a model, data or a server that their own tests make
ELSEWHERE = {
    "compare.md": "tests/test_compare_howto.py",
    "full-scale.md": "tests/test_full_scale_howto.py",
    "own-code.md": "tests/test_own_code_howto.py",
    "own-data.md": "tests/test_own_data_howto.py",
    "own-model.md": "tests/test_own_model_howto.py",
}
NOT_RUN = {
    "make test": "it would run the tests within the tests",
    "composability grid --preset paper": "takes an hour; its plan is made by the next line",
    "mlflow run . -e grid -P preset=paper": "takes an hour; its plan is made by a line below it",
    "composability grid --preset quantization-restores": "over 5 minutes; the line above plans it",
    "composability tune rmu --space paper": "75 trials take half an hour",
    "mlflow run . -e tune -P intervention=rmu -P space=paper": "75 trials take half an hour",
    "composability analyze --experiment composability --register edited-and-pruned": (
        "needs a pair of which a test says that an order is better;"
        " tests/analysis/report/test_champion.py makes one"
    ),
}
# too slow as they stand: the same with fewer trials and items
FEW = "--trials 2 --limit 10"
FEW_BY_MLFLOW = "-P trials=2 -P limit=10"
MADE_SMALLER = {
    'composability tune rmu --trials 15 --constraint "mmlu>0.75"': (
        f'composability tune rmu {FEW} --constraint "mmlu>0.75"'
    ),
    'mlflow run . -e tune -P intervention=rmu -P trials=15 -P constraint="mmlu>0.75"': (
        f'mlflow run . -e tune -P intervention=rmu {FEW_BY_MLFLOW} -P constraint="mmlu>0.75"'
    ),
}
MORE_OPTIONS = {"composability tune": FEW, "mlflow run . -e tune": FEW_BY_MLFLOW}


def page_name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def documented() -> set[str]:
    return {snippet.text for page in PAGES for snippet in snippets_of(page)}


def test_what_is_not_run_still_stands_in_a_page() -> None:
    assert {*NOT_RUN, *MADE_SMALLER} <= documented()
    for beginning in MORE_OPTIONS:
        assert any(text.startswith(beginning) for text in documented())


@pytest.mark.parametrize("name", sorted(ELSEWHERE))
def test_a_page_that_is_run_elsewhere_is_read_by_that_test(name: str) -> None:
    assert list(snippets_of(HOWTO / name))
    assert name in (ROOT / ELSEWHERE[name]).read_text()


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    return new_reader(tmp_path_factory.mktemp("reader"))


@pytest.fixture(scope="module")
def earlier_run(reader: Reader) -> str:
    """The id of a run that the reader has."""
    return EARLIER_RUN.findall(reader.types(Snippet("shell", EARLIER)))[0]


def filled_in(text: str, run_id: str) -> str:
    """Return a snippet with values for its placeholders."""
    values = {"RUN_ID": run_id, "STEP": "1", "FOLDER": "restored"}
    for placeholder, value in values.items():
        text = re.sub(rf"\b{placeholder}\b", value, text)
    return text


def as_it_is_run(text: str) -> str:
    """Return a command, or the smaller one that is run in its place."""
    if text in MADE_SMALLER:
        return MADE_SMALLER[text]
    for beginning, options in MORE_OPTIONS.items():
        if text.startswith(beginning):
            return f"{text} {options}"
    return text


@pytest.fixture
def own_intervention(reader: Reader) -> Iterator[Path]:
    """The file of the page on own interventions, which tests/test_docs.py tests further."""
    snippets = snippets_of(HOWTO / "own-intervention.md")
    method = next(snippet.text for snippet in snippets if snippet.language == "python")
    file = reader.checkout / "interventions" / "compression" / "noise.py"
    file.write_text(method)
    yield file
    file.unlink()


@pytest.mark.slow
def test_the_commands_on_an_own_intervention_work(reader: Reader, own_intervention: Path) -> None:
    for snippet in snippets_of(HOWTO / "own-intervention.md"):
        if snippet.language == "shell":
            reader.types(snippet)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.name not in {*ELSEWHERE, "own-intervention.md"}],
    ids=page_name,
)
def test_what_a_page_says_to_type_works(page: Path, reader: Reader, earlier_run: str) -> None:
    for snippet in snippets_of(page):
        if snippet.text not in NOT_RUN:
            text = as_it_is_run(filled_in(snippet.text, earlier_run))
            reader.types(Snippet(snippet.language, text))
