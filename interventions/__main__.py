"""`python -m interventions [NAME …]`: every intervention with its hyperparameters and their defaults per profile."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator

from interventions.base import INTERVENTIONS, Intervention
from interventions.errors import InvalidInput
from interventions.hyperparameters import default, fields_of
from interventions.options import PROFILES


def described(cls: type[Intervention]) -> Iterator[str]:
    """Lines: name, category and purpose; then a line per hyperparameter."""
    purpose = inspect.cleandoc(cls.__doc__ or "").partition("\n")[0]
    yield f"{cls.name} ({cls.category}): {purpose}"
    for key, field in fields_of(cls).items():
        testbed, paper = (repr(default(field, profile)) for profile in PROFILES)
        shown = testbed if testbed == paper else f"{testbed} (data=paper: {paper})"
        yield f"    {key} = {shown}: {field.metadata.get('help', '')}"


def main() -> int:
    """The command; returns its exit status."""
    try:
        chosen = [INTERVENTIONS.get(name) for name in sys.argv[1:]] or list(
            INTERVENTIONS.all().values()
        )
    except InvalidInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("\n\n".join("\n".join(described(cls)) for cls in chosen))
    return 0


if __name__ == "__main__":
    sys.exit(main())
