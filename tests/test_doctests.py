"""Every example in a docstring of the packages runs and prints what it says."""

import doctest
import importlib
import tempfile
from pathlib import Path

import pytest

from tests.quality.plain_words import PACKAGES, ROOT, python_files

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
# these import libraries that are installed in environments of their own
LEFT_OUT = "interventions/compression/backends/"


def modules_with_examples() -> list[str]:
    """Return the names of the modules that have an example in a docstring."""
    paths = [path for path in python_files(*PACKAGES) if ">>>" in path.read_text()]
    names = [path.relative_to(ROOT).with_suffix("").as_posix() for path in paths]
    return [
        name.removesuffix("/__init__").replace("/", ".")
        for name in names
        if not name.startswith(LEFT_OUT)
    ]


@pytest.mark.parametrize("name", modules_with_examples())
def test_the_examples_of_a_module_run(
    name: str,
    local_store: str,
    monkeypatch: pytest.MonkeyPatch,
    kept_folder: Path,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("COMPOSABILITY_CACHE", str(kept_folder))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # their folders go with the test's
    failures, tried = doctest.testmod(importlib.import_module(name), optionflags=FLAGS)
    assert tried and not failures
