"""The address of the store: the checkout's SQLite file, or what MLFLOW_TRACKING_URI says."""

from __future__ import annotations

import os
import re
from pathlib import Path

from interventions.cache import root
from interventions.masking import without_secrets

_SQLITE = re.compile(r"sqlite(?:\+\w+)?:///(?P<file>[^?]+)(?:\?(?P<options>.*))?")


def local_uri() -> str:
    """Return the address of the checkout's own SQLite store."""
    return f"sqlite:///{root() / 'mlflow.db'}"


def uri() -> str:
    """Return the address of the store that runs go to and are read from, password and all."""
    return os.environ.get("MLFLOW_TRACKING_URI") or local_uri()


def shown_address(address: str | None = None) -> str:
    """Return a store's address as it may be printed: ``***`` for its password or token.

    Args:
        address: the store's; by default that of the current one. It may be part of a longer
            text, such as an error message.

    Example:
        >>> shown_address("postgresql://ada:p@ss@host:5432/runs?sslmode=require")
        'postgresql://ada:***@host:5432/runs?sslmode=require'
        >>> shown_address("http://host:5000/?token=secret")
        'http://host:5000/?token=***'
    """
    return without_secrets(uri() if address is None else address)


def scheme_of(address: str) -> str:
    """Return ``postgresql`` of ``postgresql+psycopg://…``; "" of a path.

    Example:
        >>> scheme_of("postgresql+psycopg://host/runs"), scheme_of("folder/runs")
        ('postgresql', '')
    """
    scheme, mark, _ = address.partition(":")
    is_scheme = mark and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme)
    return scheme.partition("+")[0].lower() if is_scheme else ""


def is_server(address: str) -> bool:
    """Return whether a store is an MLflow server.

    Example:
        >>> is_server("http://host:5000"), is_server("sqlite:///runs.db")
        (True, False)
    """
    return scheme_of(address) in ("http", "https")


def sqlite_file(address: str) -> Path | None:
    """Return the file of a SQLite store; None for any other store.

    Example:
        >>> sqlite_file("sqlite:////home/ada/runs.db?timeout=5")
        PosixPath('/home/ada/runs.db')
    """
    match = _SQLITE.fullmatch(address)
    if match is None or match["file"].startswith(("file:", ":memory:")):
        return None
    return Path(match["file"])
