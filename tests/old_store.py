"""A store that version 0.1.0 (commit 8b502a7) wrote, for tests; see data/old_store/README.md."""

from __future__ import annotations

import lzma
import sqlite3
import tarfile
from pathlib import Path

SHIPPED = Path(__file__).with_name("data") / "old_store"


def unpack(folder: Path) -> str:
    """Unpack the old store into a folder, fill in the placeholders, and return its SQLite URI.

    Args:
        folder: made if it is missing; the database is ``mlflow.db`` in it, the artifacts are in
            ``mlruns``, the tiny model that the runs name is in ``model``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    replacements = {
        "file://{STORE}": folder.as_uri(),
        "{STORE}": str(folder),
        "{MODEL}": str(folder / "model"),
    }
    with tarfile.open(SHIPPED / "files.tar.xz") as archive:
        archive.extractall(folder, filter="data")
        files = [folder / member.name for member in archive.getmembers() if member.isfile()]
    for path in files:
        content = path.read_bytes()
        filled = content
        for placeholder, text in replacements.items():
            filled = filled.replace(placeholder.encode(), text.encode())
        if filled != content:
            path.write_bytes(filled)
    statements = lzma.decompress((SHIPPED / "store.sql.xz").read_bytes()).decode()
    for placeholder, text in replacements.items():
        statements = statements.replace(placeholder, text.replace("'", "''"))
    database = folder / "mlflow.db"
    connection = sqlite3.connect(database)
    try:
        connection.executescript(statements)
    finally:
        connection.close()
    return f"sqlite:///{database}"
