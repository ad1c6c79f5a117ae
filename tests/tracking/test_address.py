"""A store's address is printed without its password."""

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.utils import rest_utils

from interventions.errors import InvalidInput
from tracking import query, store
from tracking.address import scheme_of

SECRET = "s3cret"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (f"postgresql://ada:{SECRET}@host:5432/runs", "postgresql://ada:***@host:5432/runs"),
        (f"postgresql+psycopg://ada:{SECRET}@host/runs", "postgresql+psycopg://ada:***@host/runs"),
        (f"postgresql://ada:p@{SECRET}@host/runs", "postgresql://ada:***@host/runs"),
        (f"postgresql://ada:p/{SECRET}@host/runs", "postgresql://ada:***@host/runs"),
        (f"postgresql://ada:p?{SECRET}@host/runs", "postgresql://ada:***@host/runs"),
        (f"postgresql://ada@corp:{SECRET}@host/runs", "postgresql://ada@corp:***@host/runs"),
        (f"redis://:{SECRET}@host/0", "redis://:***@host/0"),
        (f"http://ada:{SECRET}@host:5000", "http://ada:***@host:5000"),
        (f"postgresql://host/runs?password={SECRET}", "postgresql://host/runs?password=***"),
        (
            f"postgresql://host/runs?user=ada&password={SECRET}&sslmode=require",
            "postgresql://host/runs?user=ada&password=***&sslmode=require",
        ),
        (f"http://host/?token={SECRET}#top", "http://host/?token=***#top"),
        (f"http://host/?a=1&access_token={SECRET}", "http://host/?a=1&access_token=***"),
        (f"http://host/?Token={SECRET}", "http://host/?Token=***"),
        (f"http://ada:{SECRET}@host/?token={SECRET}", "http://ada:***@host/?token=***"),
        (
            f"no answer of (postgresql://a:{SECRET}@h/r) yet",
            "no answer of (postgresql://a:***@h/r) yet",
        ),
    ],
)
def test_passwords_and_tokens_are_masked(address: str, shown: str) -> None:
    assert store.shown_address(address) == shown


@pytest.mark.parametrize(
    "address",
    [
        "sqlite:////home/ada/runs@home.db",
        "http://host:5000",
        "http://host:5000/a@b",
        "mysql://host:3306/runs?contact=a@b",
        "postgresql://ada@host/runs",
        "file:///home/ada/mlruns",
        "relative/folder",
    ],
)
def test_an_address_without_a_secret_is_shown_as_it_is(address: str) -> None:
    assert store.shown_address(address) == address


def test_the_current_stores_address_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ada:{SECRET}@host:5000")
    assert store.shown_address() == "http://ada:***@host:5000"


@pytest.mark.parametrize(
    "address", [f"postgresql://ada:{SECRET}@127.0.0.1:1/runs", f"http://ada:{SECRET}@127.0.0.1:1"]
)
def test_a_store_that_does_not_answer_is_named_without_its_password(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with pytest.raises(InvalidInput, match=r"the store .*ada:\*\*\*@.* cannot be reached") as error:
        store.check_reachable()
    assert SECRET not in str(error.value)


def test_the_reason_is_told_without_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"http://ada:{SECRET}@host:5000"

    def refuse(*_: object, **options: object) -> None:
        raise MlflowException(f"API request to {address} failed")

    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setattr(rest_utils, "http_request", refuse)
    with pytest.raises(
        InvalidInput, match=r"reached: API request to http://ada:\*\*\*@host"
    ) as error:
        store.check_reachable()
    assert SECRET not in str(error.value)


def test_an_unknown_experiment_is_named_without_the_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ada:{SECRET}@host:5000")
    monkeypatch.setattr(MlflowClient, "get_experiment_by_name", lambda self, name: None)
    monkeypatch.setattr(MlflowClient, "search_experiments", lambda self: [])
    monkeypatch.setattr(store, "check_reachable", lambda **_: None)
    with pytest.raises(InvalidInput) as error:
        query.compositions("nope")
    assert "http://ada:***@host:5000" in str(error.value)


def test_a_scheme_is_a_word_of_letters_and_digits_with_a_colon_behind() -> None:
    addresses = ("folder", "1a:b", "a b:c", "HTTP://host", "mysql+pymysql:x")
    assert [scheme_of(address) for address in addresses] == ["", "", "", "http", "mysql"]
