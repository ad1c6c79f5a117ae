"""A PostgreSQL of Debian's package on loopback, as a user that is not root, for as long as a block lasts."""

import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path


def binaries() -> Path | None:
    """Where `initdb` and `pg_ctl` are; Debian does not put them on PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


def lacking() -> str:
    """What is not installed, in words; empty if all is."""
    there = binaries() is not None and find_spec("psycopg") is not None
    return "" if there else "needs `apt-get install postgresql` and `pip install .[postgres]`"


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """The URI of an empty database."""
    programs = binaries()
    if programs is None:
        raise FileNotFoundError(lacking())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    user = "postgres" if os.geteuid() == 0 else getpass.getuser()  # it refuses to run as root
    data = folder / "data"
    data.mkdir(parents=True)
    if os.geteuid() == 0:
        for place in (folder, *folder.parents):
            if place.owner() == "root" and place.stat().st_mode & 0o005 == 0:
                place.chmod(place.stat().st_mode | 0o005)
        shutil.chown(data, user)

    def run(program: str, *arguments: str) -> None:
        prefix = ["runuser", "-u", user, "--"] if os.geteuid() == 0 else []
        subprocess.run(
            [*prefix, str(programs / program), *arguments],
            cwd=data,
            check=True,
            stdout=subprocess.DEVNULL,
        )

    run("initdb", "-D", str(data), "-A", "trust", "-U", "mlflow", "--no-sync")
    options = f"-p {port} -h 127.0.0.1 -k {data} -c fsync=off"
    run("pg_ctl", "-D", str(data), "-w", "-l", str(data / "log"), "-o", options, "start")
    try:
        run("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "mlflow", "mlflow")
        yield f"postgresql://mlflow@127.0.0.1:{port}/mlflow"
    finally:
        run("pg_ctl", "-D", str(data), "-m", "immediate", "stop")
