"""Let the site show a docstring's ``Example:`` as code: mkdocstrings knows ``Examples:`` alone."""

import re

import griffe  # type: ignore[import-not-found]  # installed for the site only

_HEADING = re.compile(r"^Example:$", re.MULTILINE)


class ExampleSections(griffe.Extension):  # type: ignore[misc]  # untyped where it is missing
    """Rename the sections while the sources are read."""

    def on_instance(self, *, obj: griffe.Object, **_: object) -> None:
        """Rename a docstring's section."""
        if obj.docstring is not None:
            obj.docstring.value = _HEADING.sub("Examples:", obj.docstring.value)
