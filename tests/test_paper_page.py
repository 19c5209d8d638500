"""docs/paper.md: everything it names exists, and the settings of the paper have the values that it gives."""

import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from weakspot.data.config import CollectConfig
from weakspot.search.config import SynthesisConfig
from weakspot.state_model.paper import CANVAS, PaperConfig

PAGE = Path("docs/paper.md").read_text()
NAMES = sorted(set(re.findall(r"`([\w.]+)`", PAGE)))
CLASSES = {
    "CollectConfig": "weakspot.data.config",
    "PaperConfig": "weakspot.state_model.paper",
    "PolicyValuesConfig": "weakspot.analysis.config",
    "SynthesisConfig": "weakspot.search.config",
}
"""Modules of the classes that the page names without their modules."""


def resolve(name: str) -> object:
    """The module, class, function or setting that the page names."""
    first = name.partition(".")[0]
    if first in CLASSES:
        name = f"{CLASSES[first]}.{name}"
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        path = ".".join(parts[:end])
        if find_spec(path) if end == 1 else _found(path):
            found = import_module(path)
            for attribute in parts[end:]:
                found = getattr(found, attribute)
            return found
    raise AssertionError(f"{name} does not exist")


def _found(path: str) -> bool:
    try:
        return find_spec(path) is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.parametrize("name", [name for name in NAMES if "." in name])
def test_code_that_the_page_names_exists(name):
    assert resolve(name) is not None


def test_commands_that_the_page_names_exist():
    modules = re.findall(r"python -m ([\w.]+)", PAGE)
    assert len(modules) > 8 and all(find_spec(module) for module in modules)


def test_links_lead_to_files_and_headings():
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        path, _, heading = target.partition("#")
        text = (Path("docs") / path).read_text()
        headings = [line.lstrip("# ").lower() for line in text.splitlines() if line.startswith("#")]
        slugs = [re.sub(r"[^\w\- ]", "", line).replace(" ", "-") for line in headings]
        assert not heading or heading in slugs, target


def test_the_settings_of_the_paper():
    config = PaperConfig()
    assert (config.perception, config.prior, config.latent, config.filters) == (1e-3, 1e-4, 100, 32)
    assert (config.learning_rate, config.batch_size, CANVAS) == (1e-3, 16, 128)
    assert CollectConfig().epsilon == 0.1
    assert SynthesisConfig().regulariser == SynthesisConfig(preset="paper").regulariser == 0.003
    assert SynthesisConfig(preset="paper").steps == 2_000


def test_every_row_says_whether_it_is_faithful():
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and "---" not in line and "statement |" not in line]
    assert len(rows) > 35
    for row in rows:
        verdict = row.split(" | ")[2]
        assert re.match(r"faithful|choice|deviation|tested|not yet tested", verdict), row
