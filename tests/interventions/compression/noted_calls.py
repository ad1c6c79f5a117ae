"""Backends that note what they are called with, and change nothing."""

import pytest


def note_calls(
    monkeypatch: pytest.MonkeyPatch, *backends: str
) -> list[tuple[object, list[str], dict[str, object]]]:
    """Put a function that notes its model, texts and settings in place of some backends.

    Args:
        monkeypatch: that puts the backends back.
        backends: the functions, such as "autoawq.awq".
    """
    calls: list[tuple[object, list[str], dict[str, object]]] = []

    def note(lm: object, texts: list[str], **settings: object) -> object:
        calls.append((lm, texts, settings))
        return lm

    for backend in backends:
        monkeypatch.setattr(f"interventions.compression.backends.{backend}", note)
    return calls
