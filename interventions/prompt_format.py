"""How a model is given a prompt: as it is, or as what a user says in a chat.

A chat template is a program that comes with the model. It is rendered once per model, in a process
of its own with little time and memory, on two probes; what stands before and after what the user
says is then put around every prompt. A template that does more to a prompt is refused.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from interventions.errors import InvalidInput, printable_line, shown
from interventions.options import CHAT, PLAIN_FORMAT

_RENDERER = Path(__file__).with_name("chat_renderer.py")
_SECONDS = 120  # for the process, most of which it spends on imports where others need the cores
_MOST_TEMPLATE = 2**20  # characters; those of today's models have up to 20,000
_MOST_AROUND = 2**16  # characters that a template may put around a prompt
_MOST_REASON = 150  # characters
# what templates could mistake: capitals, quotes, braces, a line's end, a letter that is not ASCII
PROBE = 'Which "Name" & <tag>?\nA. {{1}} é\nB. [x] 2\nAnswer'
SHORT_PROBE = "the capital of vesk is"
REPLY = "Orlo"


@dataclass(frozen=True)
class PromptFormat:
    """What is put around a prompt and its answer.

    Attributes:
        name: "plain" or "chat".
        before: what comes before the prompt.
        after: what comes after it, up to where the answer begins.
        gap: what separates the answer from what is before it.
        trims: whether blanks at both ends of a prompt are taken away.
        adds_special_tokens: whether the tokenizer puts its first token before the whole; a chat
            template has written it already, where there is one.

    Example:
        >>> chat = PromptFormat("chat", "<user>", "</user><model>", gap="")
        >>> chat.pair("The capital of Vesk is", " Orlo")
        ('<user>The capital of Vesk is</user><model>', 'Orlo')
        >>> PLAIN.pair("The capital of Vesk is", " Orlo")
        ('The capital of Vesk is', ' Orlo')
    """

    name: str = PLAIN_FORMAT
    before: str = ""
    after: str = ""
    gap: str = " "
    trims: bool = False
    adds_special_tokens: bool = True

    def context(self, prompt: str) -> str:
        """Return what the model reads before the answer to a prompt."""
        return f"{self.before}{prompt.strip() if self.trims else prompt}{self.after}"

    def answer(self, text: str) -> str:
        """Return an answer as it follows its context; a blank before it is the plain format's."""
        return f"{self.gap}{text.removeprefix(' ')}" if text else ""

    def pair(self, prompt: str, answer: str) -> tuple[str, str]:
        """Return a prompt and its answer, which begins with a blank, as the model reads them."""
        return self.context(prompt), self.answer(answer)

    def place(self, prompt: str, index: int) -> int:
        """Return where the character of that index in a prompt is in its context.

        Example:
            >>> PromptFormat("chat", "<user>", "", trims=True).place("  Ann is", 2)
            6
        """
        trimmed = len(prompt) - len(prompt.lstrip()) if self.trims else 0
        return len(self.before) + index - trimmed

    @property
    def identity(self) -> list[Any]:
        """What tells the results with it from others; empty of plain prompts, as it always was."""
        if self == PLAIN:
            return []
        return [self.name, self.before, self.after, self.gap, self.trims, self.adds_special_tokens]


PLAIN = PromptFormat()


def read_prompt_format(name: str, tokenizer: PreTrainedTokenizerBase) -> PromptFormat:
    """Return the format of a name for a model.

    Args:
        name: "plain" or "chat".
        tokenizer: the model's.

    Raises:
        InvalidInput: the tokenizer has no chat template, or one that cannot be rendered, or that
            changes what the user says.

    Example:
        >>> from interventions.data.testbed import MODEL
        >>> from interventions.tokenizer import load_tokenizer
        >>> read_prompt_format("chat", load_tokenizer(MODEL))
        Traceback (most recent call last):
        ...
        interventions.errors.InvalidInput: prompt_format=chat needs a chat template, but the ...
    """
    if name != CHAT:
        return PLAIN
    model = shown(str(tokenizer.name_or_path), 100)
    template = _template(tokenizer, model)
    tokens = {key: value for key, value in tokenizer.special_tokens_map.items() if value}
    try:
        return _chat_format(template, json.dumps(tokens, default=str, sort_keys=True))
    except InvalidInput as error:
        raise InvalidInput(f"the chat template of {model} {error}") from error


def _template(tokenizer: PreTrainedTokenizerBase, model: str) -> str:
    try:
        template: object = tokenizer.get_chat_template()
    except ValueError as error:  # there is none, or several without a default
        count = "several, none of them 'default'" if tokenizer.chat_template else "none"
        raise InvalidInput(
            f"prompt_format=chat needs a chat template, but the tokenizer of {model} has {count};"
            " use prompt_format=plain, as for a base model"
        ) from error
    if not isinstance(template, str) or len(template) > _MOST_TEMPLATE:
        raise InvalidInput(
            f"the chat template of {model} is no text of at most {_MOST_TEMPLATE} characters"
        )
    return template


@functools.lru_cache(maxsize=16)
def _chat_format(template: str, tokens: str) -> PromptFormat:
    """Return what a template puts around a prompt; the message goes on after its name."""
    user = {"role": "user", "content": PROBE}
    chats: list[list[dict[str, str]]] = [
        [user],
        [{"role": "user", "content": SHORT_PROBE}],
        [{"role": "user", "content": f" \n{PROBE}  "}],
        [user, {"role": "assistant", "content": REPLY}],
    ]
    first, short, blanks, replied = _rendered(template, json.loads(tokens), chats)
    if first is None or short is None or first.count(PROBE) != 1:
        raise InvalidInput("does not repeat what the user says once, as it is")
    before, after = first.split(PROBE)
    if len(before) + len(after) > _MOST_AROUND:
        raise InvalidInput(f"puts over {_MOST_AROUND} characters around a prompt")
    if short != f"{before}{SHORT_PROBE}{after}":
        raise InvalidInput("puts other texts around other prompts")
    trims = blanks == first
    if not trims and blanks != f"{before} \n{PROBE}  {after}":
        raise InvalidInput("takes some blanks from around a prompt, and leaves others")
    # Llama 2's has a blank between the user's end and the reply; others have a line, or nothing
    rest = (replied or "").removeprefix(first)
    gap = rest[: rest.find(REPLY)] if replied and replied.startswith(first) else ""
    gap = gap if not gap.strip() else ""
    return PromptFormat(CHAT, before, after, gap, trims, adds_special_tokens=False)


def _rendered(
    template: str, tokens: dict[str, Any], chats: list[list[dict[str, str]]]
) -> list[str | None]:
    """Return each chat as the template has it; None where it refuses one.

    All but a chat that ends with a reply are to be gone on with.
    """
    answer = _answer_of_process({"template": template, "tokens": tokens, "chats": chats})
    if answer["error"]:
        raise InvalidInput(f"cannot be rendered: {printable_line(answer['error'], _MOST_REASON)}")
    texts: list[str | None] = answer["texts"]
    return texts


def _answer_of_process(request: dict[str, Any]) -> dict[str, Any]:
    """Return what ``chat_renderer.rendered_chats`` does, of a process with bounds."""
    try:
        process = subprocess.run(
            # without the folder of the file among those that modules are imported from
            [sys.executable, "-P", str(_RENDERER)],
            input=json.dumps(request),
            capture_output=True,
            encoding="utf-8",
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise InvalidInput(f"takes over {_SECONDS} seconds to render") from error
    if process.returncode:
        lines = process.stderr.strip().splitlines()
        reason = printable_line(lines[-1], _MOST_REASON) if lines else "it takes too long"
        raise InvalidInput(f"cannot be rendered: {reason}")
    answer: dict[str, Any] = json.loads(process.stdout)
    return answer
