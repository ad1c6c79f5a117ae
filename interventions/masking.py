"""Hide passwords and tokens wherever a text may show them: messages, notes, reports, logs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote, quote_plus, unquote

MASK = "***"
STUDY_STORAGE = "COMPOSABILITY_STUDY_STORAGE"  # the variable for a study's storage

# variables whose value is a secret, and such whose value is an address that may have one
_SECRET_VARIABLES = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "HF_TOKEN")
_ADDRESS_VARIABLES = (
    "MLFLOW_TRACKING_URI",
    "MLFLOW_REGISTRY_URI",
    "MLFLOW_BACKEND_STORE_URI",
    STUDY_STORAGE,
)
_SHORTEST = 4  # characters of a secret that is looked for by itself; shorter ones are also words

# lengths are bounded, so that no text takes more time than its length
_ADDRESS = re.compile(r"[A-Za-z][\w+.-]{0,40}://\S+")
# a password with a blank in it; a port, or a message after the colon, is none
_WITH_BLANK = re.compile(
    r"([A-Za-z][\w+.-]{0,40}://[^\s:/?#@]{0,100}:)(?!\d+[\s/?#,;])[^\s@/][^\s@]{0,200}[ \t]"
    r"[^@\n]{0,100}@"
)
_WITHOUT_SCHEME = re.compile(
    r"(?<!\w)([\w.+-]{1,100}:)[^\s:/@'\"]{1,200}@(?=[\w.-]{1,255}(?::\d|/))"
)
# one address follows another without a blank, as in "postgresql://…,postgresql://…"
_NEXT_ADDRESS = re.compile(r"(?<=[,;|'\"()\[\]{}])(?=[A-Za-z][\w+.-]{0,40}://)")
_IN_QUERY = re.compile(
    r"([?&;#][\w-]{0,40}(?:pass(?:word|wd)?|pwd|token|secret|api_?key|access_?key|sig(?:nature)?)=)"
    r"[^&#\s]+",
    re.IGNORECASE,
)
# "PWD%3D" is in the percent-encoded options of SQL Server, behind a "%3B"
_KEYWORD = re.compile(
    r"((?:(?<![A-Za-z0-9])|(?<=%[0-9A-F]{2}))(?:PG)?(?:password|passwd|pwd)(?:\s?=\s?|%3D))"
    r"[^\s&#'\",;)%](?:[^\s&#'\",;)%]|%(?!3B))*",
    re.IGNORECASE,
)
# as Python and JSON write it: password='…', "password": "…"
_QUOTED = re.compile(
    r"(\b(?:PG)?(?:password|passwd|pwd)['\"]?\s?[=:]\s?(['\"]))[^'\"\n]{1,200}(?=\2)", re.IGNORECASE
)
_VARIABLE = re.compile(r"(\b[A-Z_]{1,40}_(?:PASSWORD|TOKEN|SECRET|KEY)=)[^\s'\"]+")
# the tokens of the Hugging Face hub, GitHub and Databricks, wherever they are
_TOKEN = re.compile(r"\b(?:hf_|gh[opsu]_|github_pat_|dapi)[A-Za-z0-9_]{20,}")
_HEADER = re.compile(r"(\bauthorization\W{1,4}(?:basic|bearer)\s+)[\w+/=.~-]+", re.IGNORECASE)


def without_secrets(text: str) -> str:
    """Return a text with ``***`` for every password and token that it shows.

    Those are the ones of addresses, whatever is around them, and the values of the environment's
    variables that hold one, plain or percent-encoded.

    Args:
        text: such as an address, or a library's message that quotes one.

    Example:
        >>> without_secrets("no answer of postgresql://ada:p@ss@host:5432/runs")
        'no answer of postgresql://ada:***@host:5432/runs'
        >>> without_secrets("http://host:5000/?token=secret")
        'http://host:5000/?token=***'
    """
    masked = _masked(text)
    for secret in _known_secrets(os.environ):
        # as a word of its own, or beside a percent-encoded character
        word = rf"(?:(?<![A-Za-z0-9])|(?<=%[0-9A-Fa-f]{{2}})){re.escape(secret)}(?![A-Za-z0-9])"
        masked = re.sub(word, MASK, masked)
    return masked


def has_secret(text: str) -> bool:
    """Return whether a text has an address with a password or a token.

    Example:
        >>> has_secret("postgresql://ada:secret@host/runs"), has_secret("postgresql://ada@host/runs")
        (True, False)
    """
    return _masked(text) != text


def _masked(text: str) -> str:
    """Return a text with what the forms of addresses and headers show to be a secret masked."""
    text = _WITH_BLANK.sub(rf"\1{MASK}@", text)
    text = _ADDRESS.sub(_masked_addresses, text)
    text = _WITHOUT_SCHEME.sub(rf"\1{MASK}@", text)
    text = _KEYWORD.sub(rf"\1{MASK}", text)
    text = _QUOTED.sub(rf"\1{MASK}", text)
    text = _VARIABLE.sub(rf"\1{MASK}", text)
    text = _TOKEN.sub(MASK, text)
    return _HEADER.sub(rf"\1{MASK}", text)


def _masked_addresses(match: re.Match[str]) -> str:
    return "".join(map(_masked_address, _NEXT_ADDRESS.split(match[0])))


def _masked_address(address: str) -> str:
    address = _IN_QUERY.sub(rf"\1{MASK}", address)
    scheme, _, rest = address.partition("://")
    login = _login(rest)
    user, _, password = login.partition(":")
    return f"{scheme}://{user}:{MASK}{rest[len(login) :]}" if password else address


def _login(rest: str) -> str:
    """Return what is before the host in an address without its scheme: ``user:password``, or ""."""
    # the last @ before the host counts; it may be one of the password
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    login, at_sign, _ = authority.rpartition("@")
    if at_sign:
        return login
    # SQLAlchemy lets a password contain / ? #, so that it seems to be the path
    odd = re.match(r"[^:/?#@]*:(?!\d+(?:[/?#]|$))[^@]*(?=@)", rest)
    return odd[0] if odd else ""


def _known_secrets(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield the environment's secrets in every form in which they may be written."""
    for variable in _SECRET_VARIABLES:
        yield from _forms(environment.get(variable, ""))
    for variable in _ADDRESS_VARIABLES:
        address = environment.get(variable, "")
        login = _login(address.partition("://")[2])
        user, _, password = login.partition(":")
        place = address.partition("://")[2].removeprefix(login)
        # a password that is also the user's or the database's name cannot be told from it
        if password != user and password not in re.split(r"[@/?:&=.]", place):
            yield from _forms(password)


def _forms(secret: str) -> Iterator[str]:
    if len(secret) >= _SHORTEST:
        forms = (secret, unquote(secret), quote(secret), quote(secret, safe=""), quote_plus(secret))
        yield from sorted(set(forms), key=len, reverse=True)
