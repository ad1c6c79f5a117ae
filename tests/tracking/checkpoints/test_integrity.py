"""Which names and checksums a manifest may record, and what the whole's checksum is of."""

import pytest

from interventions.errors import InvalidInput
from tracking.checkpoints.integrity import check_entry, checksum_of_checksums

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
