"""What a manifest may record, what the whole's checksum is of, and how failed writing is told."""

import errno
import json
from pathlib import Path

import pytest
from safetensors import SafetensorError

from interventions.errors import InvalidInput
from tracking.checkpoints.integrity import (
    MANIFEST,
    cannot_write,
    check_entry,
    checksum_of_checksums,
    disk_is_full,
    read_manifest,
    stamps_of,
)

CHECKSUM = "0123456789abcdef" * 4


def test_a_name_has_at_most_the_255_bytes_that_a_file_system_takes() -> None:
    """Of bytes, not of characters: an accented letter has two."""
    for name in ("n" * 255, "n" + "\u00e9" * 127):
        assert len(name.encode()) == 255
        check_entry(name, CHECKSUM)
    for name in ("n" * 256, "\u00e9" * 128):
        assert len(name.encode()) == 256
        with pytest.raises(InvalidInput, match="is not the name of a file in the folder"):
            check_entry(name, CHECKSUM)


@pytest.mark.parametrize(
    "checksum", [None, 1, "", CHECKSUM[1:], CHECKSUM + "0", "g" + CHECKSUM[1:]]
)
def test_a_checksum_is_64_hexadecimal_digits(checksum: object) -> None:
    check_entry("model.safetensors", CHECKSUM)
    with pytest.raises(InvalidInput, match=r"'model\.safetensors' has no checksum"):
        check_entry("model.safetensors", checksum)


def test_the_wholes_checksum_tells_contents_and_names_apart() -> None:
    whole = checksum_of_checksums({"a": CHECKSUM})
    assert whole != checksum_of_checksums({"b": CHECKSUM})
    assert whole != checksum_of_checksums({"a": CHECKSUM[::-1]})


@pytest.mark.parametrize("record", [{"key": 3, "sha256": {}}, {"key": "a", "sha256": []}, {}])
def test_a_manifest_has_a_key_and_checksums(record: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(json.dumps({"key": "a", "sha256": {"b": CHECKSUM}}))
    assert (read_manifest(tmp_path).key, read_manifest(tmp_path).checksums) == (
        "a",
        {"b": CHECKSUM},
    )
    (tmp_path / MANIFEST).write_text(json.dumps(record))
    with pytest.raises(InvalidInput, match=r"^manifest\.json has no key or no 'sha256'$"):
        read_manifest(tmp_path)


def test_stamps_are_in_the_order_of_names_whatever_that_of_the_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("b", "a", "c"):
        (tmp_path / name).write_text(name * 3)
    paths = [tmp_path / name for name in ("c", "a", "b")]
    monkeypatch.setattr(Path, "iterdir", lambda folder: iter(paths))
    assert [(name, size) for name, _, size, _ in stamps_of(tmp_path)] == [
        ("a", 3),
        ("b", 3),
        ("c", 3),
    ]


@pytest.mark.parametrize(
    ("error", "is_of_writing", "is_full"),
    [
        (OSError(errno.EIO, "Input/output error"), True, False),
        (OSError(errno.ENOSPC, "full"), True, True),
        (OSError(errno.EDQUOT, "full"), True, True),
        (SafetensorError("I/O error: No space left on device"), True, True),
        (SafetensorError("I/O error: Permission denied"), True, False),
        (SafetensorError("invalid header"), False, False),
        (RuntimeError("I/O error"), False, False),
        (SafetensorError("I/O error: Disk quota exceeded"), True, True),
    ],
)
def test_an_error_says_whether_it_is_of_writing_and_of_a_full_disk(
    error: Exception, is_of_writing: bool, is_full: bool
) -> None:
    assert (cannot_write(error), disk_is_full(error)) == (is_of_writing, is_full)
