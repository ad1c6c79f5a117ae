"""The process that renders chats: what it answers, and the bounds that it sets itself."""

import io
import json
import resource
from types import SimpleNamespace

import pytest
import transformers.utils.chat_template_utils as chat_templates

from interventions import chat_renderer
from interventions.chat_renderer import main, rendered_chats

TWO_CHATS = [[{"role": "user", "content": text}] for text in ("one", "two")]


def texts(template: str) -> tuple[list[str | None], str]:
    answer = rendered_chats({"template": template, "tokens": {"bos": "<s>"}, "chats": TWO_CHATS})
    return answer["texts"], answer["error"]


def test_chats_are_rendered_with_the_special_tokens() -> None:
    assert texts("{{ bos + messages[0].content }}") == (["<s>one", "<s>two"], "")


def test_only_why_the_first_chat_is_refused_is_told() -> None:
    template = "{{ raise_exception(messages[0].content) if messages[0].content == %r else 1 }}"
    assert texts(template % "one") == ([None, "1"], "TemplateError: one")
    assert texts(template % "two") == (["1", None], "")
    assert texts("{{ raise_exception(messages[0].content) }}") == (
        [None, None],
        "TemplateError: one",
    )


def test_a_reply_is_to_be_gone_on_with_only_after_the_user() -> None:
    chats = [TWO_CHATS[0], [*TWO_CHATS[0], {"role": "assistant", "content": "yes"}]]
    request = {"template": "{{ add_generation_prompt }}", "tokens": {}, "chats": chats}
    assert rendered_chats(request) == {"texts": ["True", "False"], "error": ""}


def test_a_chat_may_have_262144_characters() -> None:
    assert texts("{{ 'a' * 262144 }}") == (["a" * 2**18] * 2, "")
    error = "ValueError: it makes over 262144 characters of a prompt"
    assert texts("{{ 'a' * 262145 }}") == ([None, None], error)


@pytest.mark.parametrize(
    ("most", "limits"),
    [
        (resource.RLIM_INFINITY, {"cpu": (11, -1), "memory": (2**31, -1)}),
        (2**40, {"cpu": (11, 2**40), "memory": (2**31, 2**40)}),
        (7, {"cpu": (7, 7), "memory": (7, 7)}),
    ],
    ids=["unbounded", "high", "low"],
)
def test_the_process_bounds_its_time_and_memory(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    most: int,
    limits: dict[str, tuple[int, int]],
) -> None:
    """By hand: two seconds more than the 9.5 that it has used, in whole seconds."""
    bounds: dict[str, tuple[int, int]] = {}
    stand_in = SimpleNamespace(
        RLIMIT_CPU="cpu",
        RLIMIT_AS="memory",
        RLIM_INFINITY=resource.RLIM_INFINITY,
        RUSAGE_SELF=0,
        getrusage=lambda whose: SimpleNamespace(ru_utime=7.25, ru_stime=2.25),
        getrlimit=lambda limit: (1, most),
        setrlimit=bounds.__setitem__,
    )
    request = {"template": "{{ strftime_now('%Y') }}", "tokens": {}, "chats": TWO_CHATS[:1]}
    monkeypatch.setattr(chat_renderer, "resource", stand_in)
    monkeypatch.setattr(chat_templates, "datetime", chat_templates.datetime)
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(request)))
    main()
    assert json.loads(capsys.readouterr().out) == {"texts": ["2024"], "error": ""}
    assert bounds == limits
