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

_LONGEST_CALL = 400  # characters before a hyperparameter in which its "(" is looked for

# lengths are bounded, so that no text takes more time than its length
_ADDRESS = re.compile(r"[A-Za-z][\w+.-]{0,40}://\S+")
# a password with a blank in it; a port, or a message after the colon, is none
_WITH_BLANK = re.compile(
    r"([A-Za-z][\w+.-]{0,40}://[^\s:/?#@]{0,100}:)(?!\d+[\s/?#,;])[^\s@/][^\s@]{0,200}[ \t]"
    r"[^@\n]{0,100}@"
)
# with the end of a line in it: no other blanks, or another line may just tell of somebody's a@b
_WITH_LINE_END = re.compile(
    r"([A-Za-z][\w+.-]{0,40}://[^\s:/?#@]{0,100}:)(?!\d+[\s/?#,;])[^\s@/][^\s@]{0,200}"
    r"[\r\n\v\f]{1,4}[^\s@]{0,200}@(?=[\w\[])"
)
_WITHOUT_SCHEME = re.compile(
    r"(?<!\w)([\w.+-]{1,100}:)[^\s:/@'\"]{1,200}@(?=[\w.-]{1,255}(?::\d|/))"
)
# an address that was percent-encoded as a whole, up to four times; "/" may stay as it is
_ENCODED = re.compile(
    r"[A-Za-z][\w+.-]{0,40}%(?:25){0,3}3A(?:/|%(?:25){0,3}2F){2}[\w.~%+*!'()/-]+", re.IGNORECASE
)
# one address follows another without a blank, as in "postgresql://…,postgresql://…"
_NEXT_ADDRESS = re.compile(r"(?<=[,;|'\"()\[\]{}])(?=[A-Za-z][\w+.-]{0,40}://)")
# of these a name alone may be a token: databases take none there
_WEB = re.compile(r"(?:\w{1,20}\+)?https?", re.IGNORECASE)

# names of what is nothing but a secret; "token" and "key" alone are also hyperparameters
_SECRET_NAME = (
    r"(?:pass(?:word|wd|phrase)|secret(?:[_-]?key)?|(?:api|access|auth|account|private)[_-]?key"
    r"|(?:access|api|auth|bearer|hf|private|refresh|session)[_-]?token)"
)
_QUERY_NAME = (
    r"(?:[\w-]{0,40}(?:pass(?:word|wd|phrase)?|pwd|token|secret|api_?key|access_?key"
    r"|sig(?:nature)?)|(?:[\w-]{0,40}[_-])?(?:key|auth))"
)
# brackets and quotes around a value are none of it
_CLOSED = r"['\")\]}]{1,3}(?:[,;.:]?(?:\s|$)|[,;&][\w.%-]{1,60}=)"
_MASKED = r"['\"]?\*\*\*(?:[\s#&;,.:)\]}'\"]|%3B|$)"
# "&" belongs to the value where no name of another one follows
_QUERY_VALUE = rf"(?!{_MASKED})(?:(?!{_CLOSED})[^&#\s]|&(?![\w.%-]{{0,60}}(?:=|&|$)))+"
_IN_ADDRESS = re.compile(rf"([?&;#]{_QUERY_NAME}=){_QUERY_VALUE}", re.IGNORECASE)
# behind ? or & no address is needed
_IN_QUERY = re.compile(rf"([?&]{_QUERY_NAME}=){_QUERY_VALUE}", re.IGNORECASE)
# blanks are part of a value that another name follows
_IN_QUERY_WITH_BLANK = re.compile(
    rf"([?&]{_QUERY_NAME}=)[^&#\s'\"]{{1,200}}"
    r"(?:[ \t]{1,4}[^&#\s'\"=?]{1,200}){1,5}(?=[&#][\w.-]{1,60}=)",
    re.IGNORECASE,
)
# an address in quotes ends where they end
_IN_QUOTED_QUERY = re.compile(
    rf"((['\"])[A-Za-z][\w+.-]{{0,40}}://[^\s'\"]{{0,500}}[?&]{_QUERY_NAME}=)"
    r"[^&#\s'\"]{1,200}[ \t][^&#\n'\"]{0,200}(?=\2|[&#])",
    re.IGNORECASE,
)

# where a value ends that is not in quotes: its last character is before this
_END = rf"(?![;,&][\w. %-]{{1,40}}=|[;,](?:\s|$)|%3B[\w%]{{1,40}}%3D|{_CLOSED})"
_START = rf"(?!{_MASKED}|&[\w.%-]{{1,60}}=|{_CLOSED})"
_VALUE = rf"{_START}\S(?:{_END}\S)*"
# "PWD%3D" is in the percent-encoded options of SQL Server, behind a "%3B"
_KEYWORD = re.compile(
    rf"((?:{_SECRET_NAME}|(?:(?<![A-Za-z0-9])|(?<=%[0-9A-F]{{2}}))pwd)(?:\s?=\s?|%3D)){_VALUE}",
    re.IGNORECASE,
)
# as a header or a person writes it; the name may be in quotes
_COLON = re.compile(rf"({_SECRET_NAME}['\"]?\s?:[ \t]{{0,4}}){_VALUE}", re.IGNORECASE)
# as Python and JSON write it: password='…', "password": "…"
_QUOTED = re.compile(
    rf"((?:{_SECRET_NAME}|\bpwd)['\"]?\s?[=:]\s?b?(['\"]))"
    r"(?:\\.|(?!\2)[^\\\n]){1,400}(?=\2(?:[\s,;.:)\]}&]|$))",
    re.IGNORECASE,
)
# an option and its value, as typed or in a list of arguments
_OPTION = re.compile(
    rf"((?<![\w-])--[\w-]{{0,40}}(?:{_SECRET_NAME}|token)"
    rf"(?:=|['\"],\s?['\"]|[ \t]{{1,4}})['\"]?){_VALUE}",
    re.IGNORECASE,
)
_BARE_TOKEN = re.compile(rf"(?<![\w.-])(token=['\"]?){_VALUE}", re.IGNORECASE)
_VARIABLE = re.compile(rf"(\b[A-Z_]{{1,40}}_(?:PASSWORD|TOKEN|SECRET|KEY)=){_VALUE}")
# the tokens of the Hugging Face hub, GitHub and Databricks, wherever they are
_TOKEN = re.compile(r"\b(?:hf_|gh[opsu]_|github_pat_|dapi)[A-Za-z0-9_]{20,}")
_SCHEMES = "basic|bearer|token|digest|negotiate|api-?key"
_HEADER = re.compile(
    r"(authorization(?:['\"]?\s?[=:]\s?b?['\"]?|\W{1,4})"
    rf"(?:{_SCHEMES})[ \t]{{1,4}}){_VALUE}"
    rf"|(authorization['\"]?\s?[=:][ \t]?+(?:b(?=['\"]))?+['\"]?+)"
    rf"(?!(?:{_SCHEMES})\s+\*\*\*){_VALUE}",
    re.IGNORECASE,
)


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
    text = _masked_addresses(text)
    text = _ENCODED.sub(_masked_encoded, text)
    text = _WITHOUT_SCHEME.sub(rf"\1{MASK}@", text)
    text = _IN_QUERY.sub(rf"\1{MASK}", text)
    text = _QUOTED.sub(rf"\1{MASK}", text)
    text = _HEADER.sub(lambda match: f"{match[1] or match[2]}{MASK}", text)
    text = _KEYWORD.sub(rf"\1{MASK}", text)
    text = _COLON.sub(rf"\1{MASK}", text)
    text = _OPTION.sub(rf"\1{MASK}", text)
    text = _VARIABLE.sub(rf"\1{MASK}", text)
    text = _BARE_TOKEN.sub(_masked_token, text)
    return _TOKEN.sub(MASK, text)


def _masked_addresses(text: str) -> str:
    text = _WITH_LINE_END.sub(rf"\1{MASK}@", text)
    text = _WITH_BLANK.sub(rf"\1{MASK}@", text)
    text = _IN_QUOTED_QUERY.sub(rf"\1{MASK}", text)
    text = _IN_QUERY_WITH_BLANK.sub(rf"\1{MASK}", text)
    return _ADDRESS.sub(
        lambda match: "".join(map(_masked_address, _NEXT_ADDRESS.split(match[0]))), text
    )


def _masked_address(address: str) -> str:
    scheme, _, rest = address.partition("://")
    login = _login(rest)
    user, _, password = login.partition(":")
    place = _IN_ADDRESS.sub(rf"\1{MASK}", rest[len(login) :])
    if user and _WEB.fullmatch(scheme) and (not password or _is_like_a_token(user)):
        user = MASK
    return f"{scheme}://{user}{':' * (':' in login)}{MASK if password else ''}{place}"


def _masked_encoded(match: re.Match[str]) -> str:
    address, times = match[0], 0
    while "://" not in address:  # what matches _ENCODED has it after four times at most
        address, times = unquote(address), times + 1
    masked = _masked_addresses(address)
    if masked == address:
        return match[0]
    for _ in range(times):
        masked = quote(masked, safe="*!'()")
    return masked


def _masked_token(match: re.Match[str]) -> str:
    """Return ``token=***``; in a call it may be a hyperparameter's value, and stays."""
    before = match.string[max(0, match.start() - _LONGEST_CALL) : match.start()]
    in_call = before.count("(") > before.count(")")
    return match[0] if in_call and not _is_like_a_token(match[0]) else f"{match[1]}{MASK}"


def _is_like_a_token(text: str) -> bool:
    return len(text) >= 20 and any(map(str.isdigit, text))


def _login(rest: str) -> str:
    """Return what is before the host in an address without its scheme: ``user:password``, or ""."""
    # the last @ before the host counts; it may be one of the password
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    login, at_sign, _ = authority.rpartition("@")
    if ":" in login:
        # half of a password that has both @ and / is not the whole
        longer = re.match(r"[^:]*:.*(?=@[\w.-]+(?::\d|/))", rest)
        return longer[0] if longer and len(longer[0]) > len(login) else login
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
