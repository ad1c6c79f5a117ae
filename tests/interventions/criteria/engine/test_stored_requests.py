"""Encoded requests in the cache: used again, and never trusted blindly."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

import pytest
from transformers import PreTrainedTokenizerBase

from interventions.criteria.engine import stored_requests
from interventions.criteria.engine.encoding import Encoded, encode
from interventions.criteria.engine.stored_requests import encoded_requests
from tests.anatomies.texts import sentences
from tests.anatomies.tokenizers import tokenizer

PAIRS = [(text, f" {letter}") for text in sentences(6, seed=2) for letter in "AB"]


@pytest.fixture
def encodings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A cache of the test's own; how many requests each encoding had."""
    monkeypatch.setenv("COMPOSABILITY_CACHE", str(tmp_path))
    counts: list[int] = []

    def counted(known: PreTrainedTokenizerBase, pairs: list[tuple[str, str]]) -> list[Encoded]:
        counts.append(len(pairs))
        return encode(known, pairs)

    monkeypatch.setattr(stored_requests, "encode", counted)
    return counts


def _plain(encoded: list[Encoded]) -> list[tuple[list[int], list[int]]]:
    return [(list(each.context), list(each.continuation)) for each in encoded]


def _files(folder: Path) -> list[Path]:
    return list((folder / "requests").iterdir())


def test_requests_are_encoded_once_for_a_tokenizer_and_a_task(
    encodings: list[int], tmp_path: Path
) -> None:
    expected = _plain(encode(tokenizer("bytes"), PAIRS))
    for _ in range(2):  # another object of the same content
        assert _plain(encoded_requests(tokenizer("bytes"), PAIRS)) == expected
    assert encodings == [12] and len(_files(tmp_path)) == 1
    encoded_requests(tokenizer("bytes"), PAIRS[:2])
    other = encoded_requests(tokenizer("metaspace"), PAIRS)
    assert _plain(other) == _plain(encode(tokenizer("metaspace"), PAIRS)) != expected
    assert encodings == [12, 2, 12]


def test_a_tokenizer_that_encodes_otherwise_has_other_requests(encodings: list[int]) -> None:
    """One token more is another tokenizer, though its name and class are the same."""
    changed = tokenizer("bytes")
    changed.add_tokens([PAIRS[0][0][:9]])
    first, second = (
        _plain(encoded_requests(each, PAIRS)) for each in (tokenizer("bytes"), changed)
    )
    assert first != second and encodings == [12, 12]


@pytest.mark.parametrize("damage", ["cut", "flipped", "renamed", "linked", "emptied"])
def test_a_damaged_file_is_encoded_again(damage: str, encodings: list[int], tmp_path: Path) -> None:
    expected = _plain(encoded_requests(tokenizer("bytes"), PAIRS))
    (file,) = _files(tmp_path)
    content = file.read_bytes()
    if damage == "cut":
        file.write_bytes(content[:-5])
    elif damage == "flipped":
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "renamed":
        encoded_requests(tokenizer("bytes"), PAIRS[:4])
        (other,) = (each for each in _files(tmp_path) if each != file)
        other.replace(file)
    elif damage == "linked":
        file.rename(tmp_path / "elsewhere")
        file.symlink_to(tmp_path / "elsewhere")
    else:
        file.write_bytes(b"")
    encodings.clear()
    with pytest.warns(UserWarning, match="are damaged: encoded again"):
        assert _plain(encoded_requests(tokenizer("bytes"), PAIRS)) == expected
    assert encodings == [12]
    assert _plain(encoded_requests(tokenizer("bytes"), PAIRS)) == expected
    assert encodings == [12] and not file.is_symlink()


def test_the_files_used_longest_ago_go_when_there_are_too_many(
    encodings: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for count in (2, 4, 6):
        encoded_requests(tokenizer("bytes"), PAIRS[:count])
        for path in _files(tmp_path):  # written long ago, one after the other
            os.utime(path, (path.stat().st_mtime - 100,) * 2)
    encoded_requests(tokenizer("bytes"), PAIRS[:2])  # used again
    sizes = [path.stat().st_size for path in _files(tmp_path)]
    monkeypatch.setattr(stored_requests, "_MOST_BYTES", sum(sizes))
    encoded_requests(tokenizer("bytes"), PAIRS[:1])
    encodings.clear()
    for count in (1, 2, 6, 4):
        encoded_requests(tokenizer("bytes"), PAIRS[:count])
    assert encodings == [4]


def test_on_a_full_disk_the_work_goes_on(
    encodings: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stored_requests, "save_file", full)
    with pytest.warns(UserWarning, match="are not kept: .*No space left"):
        encoded = encoded_requests(tokenizer("bytes"), PAIRS)
    assert _plain(encoded) == _plain(encode(tokenizer("bytes"), PAIRS))


def test_as_many_bytes_as_may_be_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for age, name in enumerate(("new", "old")):
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(b"1234")
        os.utime(path, (100 - age, 100 - age))
    for most, names in ((8, ["new", "old"]), (7, ["new"])):
        monkeypatch.setattr(stored_requests, "_MOST_BYTES", most)
        stored_requests._make_room(tmp_path)
        assert sorted(path.stem for path in tmp_path.iterdir()) == names


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError("full"), "full"),
    ],
)
def test_why_requests_are_not_kept_is_told(
    error: OSError, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(file: Path, encoded: list[Encoded]) -> None:
        raise error

    monkeypatch.setenv("COMPOSABILITY_CACHE", str(tmp_path))
    monkeypatch.setattr(stored_requests, "_save", fail)
    monkeypatch.setattr(stored_requests, "_digest", lambda known: "a digest")
    monkeypatch.setattr(stored_requests, "encode", lambda known, pairs: [Encoded([1], [2])])
    known = cast(PreTrainedTokenizerBase, None)
    with pytest.warns(UserWarning, match=f"^encoded requests are not kept: {reason}$"):
        assert encoded_requests(known, PAIRS) == [Encoded([1], [2])]
    assert len(stored_requests._key(known, PAIRS)) == 32
