"""What a chat template may do at most, and what is told of the process that renders it."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from transformers import PreTrainedTokenizerBase

from interventions import prompt_format
from interventions.chat_renderer import rendered_chats
from interventions.errors import InvalidInput
from interventions.prompt_format import (
    PLAIN,
    SHORT_PROBE,
    PromptFormat,
    _answer_of_process,
    _template,
    read_prompt_format,
)

LOOP = "{% for m in messages %}"
USER = f"{LOOP}{{{{ '<' + m.content + '>' if m.role == 'user' else "


def tokenizer(template: object, name: str = "model", **tokens: Any) -> PreTrainedTokenizerBase:
    known = SimpleNamespace(
        name_or_path=name,
        chat_template=template,
        get_chat_template=lambda: template,
        special_tokens_map=tokens,
    )
    return cast(PreTrainedTokenizerBase, known)


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Render in the process of the tests."""
    prompt_format._chat_format.cache_clear()
    monkeypatch.setattr(prompt_format, "_answer_of_process", rendered_chats)


def test_a_template_may_put_65536_characters_around_a_prompt() -> None:
    for length in (1, 2**15):
        template = (
            f"{LOOP}{{{{ 'b' * {length} + m.content + 'a' * {2**16 - length} }}}}{{% endfor %}}"
        )
        chat = read_prompt_format("chat", tokenizer(template))
        assert (len(chat.before), len(chat.after)) == (length, 2**16 - length)
    template = f"{LOOP}{{{{ 'b' + m.content + 'a' * {2**16} }}}}{{% endfor %}}"
    with pytest.raises(InvalidInput, match="'model' puts over 65536 characters around a prompt"):
        read_prompt_format("chat", tokenizer(template))


def test_a_template_may_have_1048576_characters() -> None:
    assert len(_template(tokenizer("a" * 2**20), "'model'")) == 2**20
    for template in ("a" * (2**20 + 1), 5):
        with pytest.raises(InvalidInput, match="'model' is no text of at most 1048576 characters"):
            _template(tokenizer(template), "'model'")


@pytest.mark.parametrize(
    ("reply", "gap"),
    [
        ("' ' + m.content", " "),
        ("'\\n\\n' + m.content", "\n\n"),
        ("m.content + ' '", ""),
        ("'model: ' + m.content", ""),  # what is no blank is no gap
        ("raise_exception('only a user')", ""),
    ],
)
def test_the_blanks_before_a_reply_are_its_gap(reply: str, gap: str) -> None:
    chat = read_prompt_format("chat", tokenizer(f"{USER}{reply} }}}}{{% endfor %}}"))
    assert chat == PromptFormat("chat", "<", ">", gap, adds_special_tokens=False)


def test_a_reply_that_does_not_follow_what_the_user_says_has_no_gap() -> None:
    template = "{% if messages | length > 1 %} Orlo{% else %}<{{ messages[0].content }}>{% endif %}"
    assert read_prompt_format("chat", tokenizer(template)).gap == ""


def test_a_template_is_rendered_once_whatever_the_order_of_the_special_tokens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    template = f"{{{{ b + a }}}}{LOOP}{{{{ m.content }}}}{{% endfor %}}"
    chat = read_prompt_format("chat", tokenizer(template, b="1", a="2", none=None))
    assert chat.before == "12"
    monkeypatch.setattr(prompt_format, "_answer_of_process", None)
    assert read_prompt_format("chat", tokenizer(template, a="2", b="1")) is chat


def test_a_long_name_of_a_model_is_cut_at_100_characters() -> None:
    with pytest.raises(InvalidInput) as error:
        read_prompt_format("chat", tokenizer("{% for", "m" * 120))
    assert str(error.value).startswith(f"the chat template of '{'m' * 98}… cannot be rendered: ")


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ("m.content == short", "does not repeat what the user says once, as it is"),
        ("m.content.startswith(' ')", "takes some blanks from around a prompt, and leaves others"),
    ],
)
def test_a_template_must_take_every_prompt(condition: str, reason: str) -> None:
    template = (
        f"{{% set short = '{SHORT_PROBE}' %}}{LOOP}{{{{ raise_exception('no') if {condition} }}}}"
        "{{ m.content }}{% endfor %}"
    )
    with pytest.raises(InvalidInput, match=f"'model' {reason}$"):
        read_prompt_format("chat", tokenizer(template))


def test_blanks_are_trimmed_or_stay() -> None:
    for content, trims in (("m.content", False), ("m.content.strip()", True)):
        template = f"{LOOP}{{{{ {content} }}}}{{% endfor %}}"
        assert read_prompt_format("chat", tokenizer(template)).trims is trims


@pytest.mark.parametrize(
    ("template", "count"), [(None, "none"), ({"a": "b"}, "several, none of them 'default'")]
)
def test_how_many_templates_there_are_is_told(template: object, count: str) -> None:
    def refuse() -> None:
        raise ValueError

    known = tokenizer(template)
    known.get_chat_template = refuse
    with pytest.raises(InvalidInput, match=f"the tokenizer of 'model' has {count}; use"):
        read_prompt_format("chat", known)


def test_what_tells_a_format_from_others_is_nothing_of_plain_prompts() -> None:
    assert PLAIN.identity == []
    chat = PromptFormat("chat", "a", "b", "c", trims=True, adds_special_tokens=False)
    assert chat.identity == ["chat", "a", "b", "c", True, False]


def test_a_place_counts_the_blanks_that_are_trimmed() -> None:
    for trims, place in ((True, 3), (False, 5)):
        assert PromptFormat("chat", "<<", trims=trims).place("  Ann", 3) == place
    assert PLAIN.answer("") == "" and PLAIN.answer("Orlo") == " Orlo" == PLAIN.answer(" Orlo")


def renderer(monkeypatch: pytest.MonkeyPatch, folder: Path, code: str) -> None:
    (folder / "renderer.py").write_text(f"import sys, time\n{code}\n")
    monkeypatch.setattr(prompt_format, "_RENDERER", folder / "renderer.py")


def test_the_process_gets_the_request_and_its_answer_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    renderer(monkeypatch, tmp_path, "print('[%s, 1]' % sys.stdin.read())")
    request = {"template": "é", "tokens": {}, "chats": []}
    assert cast(Any, _answer_of_process(request)) == [request, 1]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("sys.exit('first\\nlast ' + 'a' * 200)", f"cannot be rendered: last {'a' * 144}…"),
        ("sys.exit(1)", "cannot be rendered: it takes too long"),
        ("time.sleep(60)", "takes over 0.3 seconds to render"),
    ],
)
def test_why_the_process_failed_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str, reason: str
) -> None:
    renderer(monkeypatch, tmp_path, code)
    if "sleep" in code:
        monkeypatch.setattr(prompt_format, "_SECONDS", 0.3)
    with pytest.raises(InvalidInput) as error:
        _answer_of_process({})
    assert str(error.value) == reason


def test_the_error_of_a_template_is_cut_at_150_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = json.dumps({"texts": [None] * 4, "error": "b" * 200})
    monkeypatch.setattr(prompt_format, "_answer_of_process", lambda request: json.loads(answer))
    with pytest.raises(InvalidInput, match=f"'model' cannot be rendered: {'b' * 149}…$"):
        read_prompt_format("chat", tokenizer("any"))
