"""The pages of the reference, which are generated from the code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from lab.site.reference_api import api_page
from lab.site.reference_artifacts import artifacts_page
from lab.site.reference_commands import commands_page
from lab.site.reference_errors import errors_page
from lab.site.reference_extensions import extensions_page

PAGES: Mapping[str, Callable[[Path], str]] = {
    "commands.md": commands_page,
    "api.md": api_page,
    "artifacts.md": artifacts_page,
    "errors.md": errors_page,
    "extensions.md": extensions_page,
}
"""File name to a function from the repository to the text of the page."""
