"""The reference of the errors, from their docstrings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lab.site.markdown import prose
from weakspot import errors

INTRO = """\
Every error that weakspot raises on purpose is a `WeakspotError`. Its message says what was seen, what was expected, and
what to do; the attributes `seen`, `expected` and `todo` have the same. On the command line an error is printed without
a traceback, and the exit status is 2. Any other exception is a bug: please report it with the output of
`weakspot doctor`."""


def errors_page(root: Path) -> str:
    """All errors as a tree."""
    warnings = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, UserWarning)]
    parts = [
        "# Errors",
        INTRO,
        "\n".join(_tree(errors.WeakspotError, 0)),
        "## Warnings",
        "\n".join(f"- `{warning.__name__}`: {prose(warning.__doc__ or '')}" for warning in warnings),
        "## In Python",
        "::: weakspot.errors.WeakspotError",
    ]
    return "\n\n".join(parts) + "\n"


def _tree(kind: type[Exception], depth: int) -> Iterator[str]:
    yield f"{'    ' * depth}- `{kind.__name__}`: {prose(kind.__doc__ or '').split(' Args:')[0]}"
    for below in kind.__subclasses__():
        if below.__module__ == errors.__name__:
            yield from _tree(below, depth + 1)
