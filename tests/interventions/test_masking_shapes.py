"""No secret survives in any shape that says what it is, and the project's own texts stay."""

import re
import string
from urllib.parse import quote

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from interventions.masking import has_secret, without_secrets

PRINTABLE = string.ascii_letters + string.digits + string.punctuation

# where the secret may have any printable character but a blank
SHAPES = [
    "postgresql://bob:{}@host/runs",
    "no answer of postgresql://bob:{}@host:5432/runs, said the driver",
    "redis://:{}@host/0",
    "http://bob:{}@host:5000/api",
    "password={} failed",
    "password: {}",
    "login failed, password: {} for user bob",
    "passwd = {} here",
    "mlflow server --password {} --port 5000",
    "mlflow server --password={}",
    "tool --api-key {} run",
    "tool --hub-token {}",
    "X-Api-Key: {}",
    "x-api-key: {} was sent",
    "X-Auth-Token: {}",
    "Authorization=Token {}",
    "Authorization: Bearer {}",
    "Authorization: {}",
    "authorization=Basic {} was refused",
    "token={}",
    "the login token={} is refused",
    "secret={}",
    "client_secret={} is old",
    "api_key={}",
    "access_token: {}",
    "HF_TOKEN={} python -m composability",
]
# where "&" and "#" end it, and "/", "?", "#" or ":" the address's user
QUERY_SHAPES = [
    "http://host/?key={}",
    "http://host/a?auth={}&page=2",
    "http://host/a?page=2&key={}",
    "http://host/a?page=2&api_key={}#top",
    "Max retries exceeded with url: /api?name=a&key={}",
    "http://host/#id_token={}",
    "postgresql://host/runs?password={} is away",
    "http://host/?x-auth={}",
]
USER_SHAPES = [
    "http://{}@host",
    "https://{}@host:5000/api is away",
    "https://{}:@host/",
    "git+https://{}@host/owner/repository",
]
# percent-encoded, up to four times, the secret with it
ENCODED_SHAPES = [
    "postgresql://bob:{}@host",
    "postgresql://bob:{}@host:5432/runs?sslmode=require",
    "http://{}@host/api",
]
# the secret in quotes, as Python and JSON write it
QUOTED_SHAPES = [
    "connect(host='h', password={})",
    "{{'password': {}, 'user': 'bob'}}",
    "{{'X-Api-Key': {}}}",
    "['tool', '--password', {}, 'run']",
    "headers {{'Authorization': {}}}",
    "secret={}",
]


def secrets(without: str = "") -> st.SearchStrategy[str]:
    """Return secrets of printable characters of which some are letters or digits.

    Left out is what is read otherwise: an address in the password, a number that seems to be a
    port, another "name=" behind "&", "," or ";", and stars as if it were masked.
    """
    characters = "".join(sorted(set(PRINTABLE) - set(without)))
    return st.text(characters, min_size=4, max_size=24).filter(
        lambda secret: (
            re.search(r"[A-Za-z0-9]", secret) is not None
            and "://" not in secret
            and re.match(r"\d+[/?#]|['\"]?\*\*\*", secret) is None
            and re.search(r"[&,;].*=|%3B.*%3D", secret) is None
        )
    )


def check_masked(shape: str, secret: str) -> None:
    assume(secret not in shape)
    text = shape.format(secret)
    masked = without_secrets(text)
    assert "***" in masked and secret not in masked
    assert has_secret(text)


@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=60)
@given(secrets())
@example("'abc")
@example("a,b;c&d#e")
@example("/a@b/c")
@example("--x")
@example("s3cret")
def test_no_printable_secret_survives(shape: str, secret: str) -> None:
    check_masked(shape, secret)


@pytest.mark.parametrize("shape", QUERY_SHAPES)
@settings(max_examples=60)
@given(secrets(without="&#"))
@example("s3cret")
def test_no_secret_survives_in_a_query(shape: str, secret: str) -> None:
    check_masked(shape, secret)


@pytest.mark.parametrize("shape", USER_SHAPES)
@settings(max_examples=60)
@given(secrets(without="/?#:"))
@example("s3cret")
def test_no_token_survives_as_the_user_of_a_web_address(shape: str, secret: str) -> None:
    check_masked(shape, secret)


@pytest.mark.parametrize("times", [1, 2, 4])
@pytest.mark.parametrize("safe", ["", "/"])
@pytest.mark.parametrize("shape", ENCODED_SHAPES)
@settings(max_examples=40)
@given(secrets(without="/?#:"))
@example("s3cret")
@example("p@ss")
def test_no_secret_survives_percent_encoded(times: int, safe: str, shape: str, secret: str) -> None:
    text, written = shape.format(secret), secret
    assume(secret not in f"http://h/?next=&page=2 %25 %2540 {quote(quote(shape))}")
    for _ in range(times):
        text, written = quote(text, safe=safe), quote(written, safe=safe)
    masked = without_secrets(f"http://h/?next={text}&page=2")
    assert written not in masked and has_secret(text)
    assert masked.startswith("http://h/?next=") and masked.endswith("&page=2")


@pytest.mark.parametrize("shape", QUOTED_SHAPES)
@settings(max_examples=60)
@given(secrets(without="\\'\""))
@example("s3cret")
@example("a), b")
def test_no_secret_survives_in_quotes(shape: str, secret: str) -> None:
    assume(secret not in shape)
    masked = without_secrets(shape.format(repr(secret)))
    assert secret not in masked and "***" in masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgresql://bob:two\ns3cret@host/d", "postgresql://bob:***@host/d"),
        ("postgresql://bob:two\ts3cret@host/d", "postgresql://bob:***@host/d"),
        ("postgresql://bob:two\r\ns3cret@host/d", "postgresql://bob:***@host/d"),
        ("http://h/?password=two s3cret&a=1 is away", "http://h/?password=***&a=1 is away"),
        ("'http://h/?password=two s3cret' is away", "'http://h/?password=***' is away"),
        ('"http://h/?a=1&token=two s3cret x"', '"http://h/?a=1&token=***"'),
        ("see 'http://h/?token=s3cret'.", "see 'http://h/?token=***'."),
        ("(http://h/?key=s3cret), so", "(http://h/?key=***), so"),
        ("postgresql%3A%2F%2Fbob%3As3cret%40host", "postgresql%3A%2F%2Fbob%3A***%40host"),
        ("http://s3cret@host/a", "http://***@host/a"),
        ("http://a1b2c3d4e5f6g7h8i9j0s3cret:x@host/a", "http://***:***@host/a"),
        ("PWD=s3cret;Trust=yes", "PWD=***;Trust=yes"),
        ("f(password=s3cret, user=bob)", "f(password=***, user=bob)"),
        ("--password s3cret --port 5000", "--password *** --port 5000"),
        ("X-Api-Key: s3cret", "X-Api-Key: ***"),
        ("Authorization=Token s3cret", "Authorization=Token ***"),
        ("memit(token=a1b2c3d4e5f6g7h8i9j0s3cret)", "memit(token=***)"),
        ("postgresql://bob:a@b/s3cret@host:5432/d", "postgresql://bob:***@host:5432/d"),
    ],
)
def test_what_is_around_a_secret_stays(text: str, masked: str) -> None:
    assert without_secrets(text) == masked
    assert without_secrets(masked) == masked and not has_secret(masked)
