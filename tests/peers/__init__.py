"""An environment for each peer: their pins contradict ours and each other's."""

import hashlib
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def environment(name: str) -> Path:
    """Return the python of a peer's environment.

    It is made from ``<name>.txt``, in minutes, if there is none or that file has changed.
    """
    requirements = Path(__file__).with_name(f"{name}.txt")
    folder = CHECKOUT / ".cache" / "peers" / name
    python, made_from = folder / "bin" / "python", folder / "made_from"
    texts = [requirements.read_bytes()]
    if b"requirements.lock" in texts[0]:
        texts.append((CHECKOUT / "requirements.lock").read_bytes())
    wanted = hashlib.sha256(b"".join(texts)).hexdigest()
    if not (made_from.exists() and made_from.read_text() == wanted):
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--requirement", str(requirements)], check=True)
        made_from.write_text(wanted)
    return python
