"""Damage a file, for tests that it is noticed."""

from pathlib import Path


def flip_last_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
