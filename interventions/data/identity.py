"""Identity of a part of the data: a hash of its content; and texts that are read on first use."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from interventions.data.questions import Questions


class Lazy(Sequence[str]):
    """Texts that are read on first use; they have the identity of a tuple of the same texts.

    For corpora that only some interventions use: an unused one is never read.

    Example:
        >>> texts = Lazy(lambda: ("first", "second"))
        >>> len(texts), texts[0]
        (2, 'first')
    """

    def __init__(self, read: Callable[[], tuple[str, ...]]) -> None:
        self._read = read

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """Return all texts."""
        return self._read()

    @cached_property
    def identity(self) -> str:
        """Return a hash of the texts, as of a tuple of them."""
        return identity_of(self.texts)

    def __getitem__(self, index: Any) -> Any:
        return self.texts[index]

    def __len__(self) -> int:
        return len(self.texts)


def identity_of(part: Any) -> str:
    """Return a hash of a part's content: equal content has equal identity on every machine.

    Args:
        part: texts, edits, prompts, questions, or a plain JSON value.

    Example:
        >>> identity_of(("a", "b")) == identity_of(Lazy(lambda: ("a", "b")))
        True
    """
    if isinstance(part, Lazy):
        return part.identity
    if isinstance(part, Questions):
        part = part.identity
    plain = [_plain(item) for item in part] if isinstance(part, tuple) else part
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:32]


def _plain(item: Any) -> Any:
    if isinstance(item, str):
        return item
    values = dataclasses.asdict(item)
    # edits of before there were such prompts are the edits that they were
    if "portability" in values and not values["portability"]:
        del values["portability"]
    return values
