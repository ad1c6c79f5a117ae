"""Render chats with a template that may be hostile: a process that `prompt_format` starts.

It reads one JSON object from its input and writes one. transformers renders in a sandbox, which
keeps a template from Python and from files, but not from looping for ever or filling the memory:
so this process has a bound on each.
"""

from __future__ import annotations

import datetime
import json
import resource
import sys
from typing import Any

import transformers.utils.chat_template_utils as chat_templates

_SECONDS, _BYTES = 2, 2**31  # of the processor, and of memory in all
_MOST_TEXT = 2**18  # characters of what comes of a chat
# the date that Llama's templates have where they are not told another: those that ask for today's
# would make another prompt of it every day
_DATE = datetime.datetime(2024, 7, 26)


class _FixedDate(datetime.datetime):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:  # type: ignore[override]
        return _DATE


def _bound(limit: int, value: int) -> None:
    """Lower one of the process's limits, unless it is lower already."""
    _, most = resource.getrlimit(limit)
    least = value if most == resource.RLIM_INFINITY else min(value, most)
    resource.setrlimit(limit, (least, most))


def _text(template: str, tokens: dict[str, Any], chat: list[dict[str, str]]) -> str:
    rendered, _ = chat_templates.render_jinja_template(
        conversations=[chat],
        chat_template=template,
        add_generation_prompt=chat[-1]["role"] == "user",
        **tokens,
    )
    text: str = rendered[0]
    if len(text) > _MOST_TEXT:
        raise ValueError(f"it makes over {_MOST_TEXT} characters of a prompt")
    return text


def rendered_chats(request: dict[str, Any]) -> dict[str, Any]:
    """Render the chats of a request; those after the first may be refused one by one.

    Args:
        request: ``template``, ``tokens`` (the tokenizer's special ones) and ``chats``.

    Returns:
        ``texts``, None where a chat is refused; ``error``, why the first is, "" if it is not.
    """
    texts: list[str | None] = []
    error = ""
    for chat in request["chats"]:
        try:
            texts.append(_text(request["template"], request["tokens"], chat))
        except Exception as reason:  # whatever a template raises
            texts.append(None)
            error = error or (f"{type(reason).__name__}: {reason}" if len(texts) == 1 else "")
    return {"texts": texts, "error": error}


def main() -> None:
    """Answer the request that stands in the input, within bounds."""
    request = json.load(sys.stdin)
    chat_templates.datetime = _FixedDate
    used = resource.getrusage(resource.RUSAGE_SELF)
    _bound(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + _SECONDS)
    _bound(resource.RLIMIT_AS, _BYTES)
    json.dump(rendered_chats(request), sys.stdout)


if __name__ == "__main__":
    main()
