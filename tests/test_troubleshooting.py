"""The page on troubleshooting quotes what the program says."""

import ast
import json
import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mlflow.utils import virtualenv

from composability.command import main
from interventions.data.testbed import MODEL
from tests.checkouts import ROOT
from tests.quality.plain_words import PACKAGES, python_files

PAGE = ROOT / "docs" / "howto" / "troubleshooting.md"
ROW = re.compile(r"^\| `(.+?)`(?: \(MLflow's\))? \|", re.MULTILINE)
QUOTES = ROW.findall(PAGE.read_text())
PLACEHOLDER = "…"
RUN = ["run", "magnitude", "--checkpoints", "none"]


def text_of(node: ast.AST) -> str:
    """Return a string of the source as a message has it, with a mark for what differs."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    values = getattr(node, "values", ())  # of an f-string
    return "".join(
        text_of(value) if isinstance(value, ast.Constant) else PLACEHOLDER for value in values
    )


@pytest.fixture(scope="module")
def messages() -> str:
    """Every string of the packages, and of MLflow's search for an environment, a line each."""
    files = [*python_files(*PACKAGES), Path(virtualenv.__file__)]
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text()))]
    strings = (text_of(node) for node in nodes if isinstance(node, ast.Constant | ast.JoinedStr))
    return "\n".join(string.replace("\n", " ") for string in strings)


# what is said here, and now


def in_a_store_that_is(name: str, content: bytes | None) -> Callable[..., list[str]]:
    """Return how to run something in a store of this content; None: in none."""

    def prepare(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        if content is not None:
            (folder / name).write_bytes(content)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / name}")
        return RUN if content is not None else ["compare", "ft + wanda"]

    return prepare


def with_an_old_store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    database = folder / "mlflow.db"  # of the test
    with sqlite3.connect(database) as connection:
        connection.execute("update alembic_version set version_num = '451aebb31d03'")
    connection.close()
    return RUN


def at_the_address(address: str) -> Callable[..., list[str]]:
    """Return how to run something in the store of an address."""

    def prepare(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        return RUN

    return prepare


def model_without(*names: str, **config: object) -> Callable[..., list[str]]:
    """Return how to run something on a model without some files."""

    def prepare(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        model = Path(shutil.copytree(MODEL, folder / "model"))
        for name in names:
            (model / name).rename(model / "pytorch_model.bin" if "safe" in name else folder / name)
        described = json.loads((model / "config.json").read_text()) | config
        (model / "config.json").write_text(json.dumps(described))
        return [*RUN, "--model", str(model)]

    return prepare


def without_a_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    (folder / "file").touch()
    monkeypatch.setenv("COMPOSABILITY_CACHE", str(folder / "file"))
    return RUN


def typed(*words: str) -> Callable[..., list[str]]:
    """Return how to type words."""
    return lambda folder, monkeypatch: list(words)


SAID = {
    "no intervention is named 'wnda'": typed("run", "wnda"),
    "wanda has no hyperparameter 'sparsty'": typed("run", "wanda(sparsty=0.5)"),
    "wanda.sparsity=[0.25, 0.5] is a list, which means a sweep": typed(
        "run", "wanda(sparsity=[0.25, 0.5])"
    ),
    "no criterion is named 'mmlo'": typed(*RUN, "--criteria", "mmlo"),
    "edit_batch must be 0 to … on the testbed": typed(*RUN, "--edit-batch", "999"),
    "no experiment is named": typed("compare", "ft + wanda", "--experiment", "nothing"),
    "the store … cannot be used: the file is missing": in_a_store_that_is("none.db", None),
    "the store … cannot be used: the file is damaged": in_a_store_that_is("a.db", b"torn" * 999),
    "the store … cannot be used: its tables are of an older MLflow": with_an_old_store,
    "the store … cannot be used: MLflow no longer keeps runs in a folder": at_the_address("runs"),
    "the store … cannot be reached": at_the_address("http://127.0.0.1:9"),
    "model './nothing' is not a folder, and no Hugging Face id": typed(
        *RUN, "--model", "./nothing"
    ),
    "cannot read a causal language model from …: its tokenizer cannot be used": model_without(
        "tokenizer.json", "tokenizer_config.json"
    ),
    "cannot read a causal language model from …: its weights are there only as a pickle": (
        model_without("model.safetensors")
    ),
    "cannot read a causal language model from …: auto_map names code that comes with it": (
        model_without(auto_map={"AutoModelForCausalLM": "code.Model"})
    ),
    "prompt_format=chat needs a chat template": typed(*RUN, "--prompt-format", "chat"),
    "backend='gptqmodel' needs a package that is not installed": typed(
        "run", "gptq(backend='gptqmodel')"
    ),
    "cannot write to the cache": without_a_cache,
}
if not torch.cuda.is_available():
    SAID["device is cuda, but torch sees no GPU here"] = typed(*RUN, "--device", "cuda")


@pytest.mark.parametrize("quote", SAID)
def test_a_quoted_line_is_said(
    quote: str,
    local_store: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert quote in QUOTES
    words = SAID[quote](tmp_path, monkeypatch)
    assert main(words) == 2
    pattern = ".+".join(map(re.escape, quote.split(PLACEHOLDER)))
    assert re.match(f"error: {pattern}", capsys.readouterr().err.splitlines()[-1])


@pytest.mark.parametrize("quote", [quote for quote in QUOTES if quote not in SAID])
def test_the_words_of_a_quoted_line_are_in_the_source(quote: str, messages: str) -> None:
    fragments = [words.strip() for words in re.split(f"{PLACEHOLDER}:?", quote)]
    assert len(max(fragments, key=len)) >= 10
    assert [words for words in fragments if words not in messages] == []


def test_the_page_has_many_lines_each_once() -> None:
    assert len(QUOTES) == len(set(QUOTES)) >= 15
