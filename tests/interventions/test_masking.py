"""Passwords and tokens are hidden wherever a text shows them."""

import time
from urllib.parse import quote

import pytest

from interventions.errors import InvalidInput, printable_line, shown
from interventions.masking import has_secret, without_secrets

SECRET = "s3cret"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (f"postgres://u:{SECRET}@h/d is away", "postgres://u:***@h/d is away"),
        (f"'http://u:{SECRET}@h:5000/api'", "'http://u:***@h:5000/api'"),
        ("postgresql://u:p%40ss@h/d", "postgresql://u:***@h/d"),
        (f"postgresql://u:two {SECRET}@h/d", "postgresql://u:***@h/d"),
        (f"no cluster at u:{SECRET}@host:6379", "no cluster at u:***@host:6379"),
        (f"connection host=h user=u password={SECRET} failed", "connection host=h user=u"),
        (f"headers: {{'Authorization': 'Basic {SECRET}=='}}", "{'Authorization': 'Basic ***'}"),
        (f"http://h/?passwd={SECRET}&a=1", "http://h/?passwd=***&a=1"),
        (f"https://h/x?se=1&sig={SECRET}&b=1", "https://h/x?se=1&sig=***&b=1"),
        (f"mysql://h/d?pass={SECRET}", "mysql://h/d?pass=***"),
        (f"http://h/#access_token={SECRET}", "http://h/#access_token=***"),
        (f"http://u:{SECRET}@h/a,http://v:{SECRET}@i", "http://u:***@h/a,http://v:***@i"),
        (
            f"mssql+pyodbc:///?odbc_connect=UID%3Du%3BPWD%3D{SECRET}%3BTrust%3Dyes",
            "mssql+pyodbc:///?odbc_connect=UID%3Du%3BPWD%3D***%3BTrust%3Dyes",
        ),
        (f"connect(host='h', password='{SECRET} x')", "connect(host='h', password='***')"),
        (f'{{"user": "u", "password": "{SECRET}"}}', '{"user": "u", "password": "***"}'),
        (f"PGPASSWORD={SECRET} psql", "PGPASSWORD=*** psql"),
        (f"MLFLOW_TRACKING_TOKEN={SECRET}", "MLFLOW_TRACKING_TOKEN=***"),
        (f"no model hf_{SECRET}aaaaaaaaaaaaaaaaaaaa here", "no model *** here"),
        (f"u:{SECRET}@host/d", "u:***@host/d"),
        (f"postgresql:/u:{SECRET}@host/d", "postgresql:/u:***@host/d"),
    ],
)
def test_every_form_of_a_secret_is_masked(text: str, masked: str) -> None:
    assert masked in without_secrets(text) and SECRET not in without_secrets(text)
    assert has_secret(text)


@pytest.mark.parametrize(
    "text",
    [
        "http://host:5000 failed: write to a@b",
        "sqlite:////home/ada/runs@home.db",
        "postgresql://ada@host/runs",
        "postgresql://ada:@host/runs",
        "hf://owner/model@main",
        "lora(rank=8) | wanda(sparsity=0.25)",
        "git@host:owner/repository.git",
        "at 10:30 write to ada@host",
        "C:/models/model@2",
        "memit(token='subject_last') | lora(targets=('q_proj',))",
        "the password is not said: set PGPASSWORD",
        "https://host/?signal=1&monkey=2",
    ],
)
def test_a_text_without_a_secret_stays(text: str) -> None:
    assert without_secrets(text) == text and not has_secret(text)


@pytest.mark.parametrize("variable", ["MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"])
def test_the_environments_secrets_are_masked_in_every_form(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "p@ss w0rd/x"
    monkeypatch.setenv(variable, secret)
    assert without_secrets(f"login with {secret}: no") == "login with ***: no"
    assert without_secrets(f"url%3A{quote(secret, safe='')}%40") == "url%3A***%40"


def test_a_secrets_longest_form_is_masked_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Percent-decoded, this one is a part of itself: 35bcd."""
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "3%35bcd")
    assert without_secrets("no 3%35bcd here") == "no *** here"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("ft(token=abcdefghijkl1)", "ft(token=abcdefghijkl1)"),
        ("ft(token=abcdefghijklm1)", "ft(token=***)"),
        ("ft(token=abcdefghijklmn)", "ft(token=abcdefghijklmn)"),
        ("(token=last)", "(token=last)"),
        ("ft(token=last)" + " x" * 300, "ft(token=last)" + " x" * 300),
        ("ft() token=last", "ft() token=***"),
    ],
)
def test_a_hyperparameter_named_token_is_masked_from_fourteen_characters_with_a_digit(
    text: str, masked: str
) -> None:
    assert without_secrets(text) == masked


def test_the_stores_password_is_masked_without_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"postgresql://ada:{SECRET}@host/runs")
    assert without_secrets(f"authentication of {SECRET} failed") == "authentication of *** failed"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://mlflow:mlflow@host/mlflow")
    assert without_secrets("mlflow run . -e tune") == "mlflow run . -e tune"


@pytest.mark.parametrize("login", ["adas:adas", "adas:runs", "adas:host"])
def test_a_password_that_is_a_name_of_the_stores_is_not_looked_for(
    login: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"postgresql://{login}@host/runs")
    assert without_secrets("adas runs on a host") == "adas runs on a host"


def test_secrets_of_four_characters_are_looked_for_and_shorter_ones_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for secret, masked in (("pans", "no *** here"), ("pan", "no pan here")):
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", secret)
        assert without_secrets(f"no {secret} here") == masked


def test_errors_and_echoed_input_have_no_password() -> None:
    address = f"postgresql://ada:{SECRET}@host/runs"
    assert SECRET not in str(InvalidInput(f"no model is at {address}"))
    assert SECRET not in printable_line(address)
    # also where the echo is cut in the middle of the address
    assert SECRET not in shown(f"postgresql://ada:{SECRET}{'x' * 300}@host/runs")


@pytest.mark.parametrize(
    "unit",
    ["a", "a.", "a:", "a://", "a://b:", "a:b@", "&password", "x://y:z ", ",a://", "PWD%3D", "A_"],
)
def test_a_long_text_is_masked_in_no_time(unit: str) -> None:
    start = time.perf_counter()
    without_secrets(unit * (200_000 // len(unit)))
    assert time.perf_counter() - start < 5
