"""The pages of the site: their code, their navigation, the generated reference, and the checks of the built site."""

import ast
import re
import shlex
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import weakspot
from lab.site.check import problems
from lab.site.offline import COPY, keep_local
from lab.site.pages import ROOT_PAGES, gather, with_links
from lab.site.reference import PAGES
from lab.site.reference_artifacts import artifact_modules
from weakspot import errors
from weakspot.cli import COMMANDS
from weakspot.completion import command_options
from weakspot.doctor import PURPOSES

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
TEXTS = {path.relative_to(ROOT): path.read_text() for path in (*(ROOT / name for name in ROOT_PAGES), *DOCS.rglob("*.md"))}
BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = [(f"{path}:{text[: match.start()].count(chr(10)) + 1}", match[1], match[2])
          for path, text in TEXTS.items() for match in BLOCK.finditer(text)]  # fmt: skip


def blocks(language):
    return [pytest.param(code, id=place) for place, found, code in BLOCKS if found == language]


def navigation(entries):
    """All files of the navigation."""
    for entry in entries:
        for value in entry.values():
            yield from navigation(value) if isinstance(value, list) else [value]


def weakspot_commands(code):
    """The command lines of weakspot in a block of shell code, as lists of words."""
    for line in code.replace("\\\n", " ").splitlines():
        found = re.search(r"(?:^\s*|[(/]|=\S+ )weakspot ([a-z-]+.*)", line.split(" #")[0])
        if found and not line.lstrip().startswith("#"):
            yield from _commands(found[1])


def _commands(text):
    """The words of a command, up to what ends it in the shell; quoted words may hold any character."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words = []
    for word in lexer:
        if set(word) <= set("();<>|&"):
            break
        words.append(word)
    yield words


@pytest.mark.parametrize("code", [*blocks("sh"), *blocks("bash")])
def test_commands_on_pages_exist_and_have_these_options(code):
    for name, *words in weakspot_commands(code):
        assert name in COMMANDS, name
        options = {word: option for option in command_options(COMMANDS[name]) for word in option.names}
        last = None
        for word in words:
            if word.startswith("--"):
                last = options[word]
            elif last and last.choices and "$" not in word:
                assert word in last.choices, f"{last.names[0]} {word}"


@pytest.mark.parametrize("code", blocks("python"))
def test_python_on_pages_compiles_and_uses_names_that_exist(code):
    """Fragments that do not stand alone are marked ``py`` on the pages."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "weakspot":
            if node.module != "weakspot.artifacts.contrast" and not node.module.startswith("weakspot.analysis.contrast"):
                assert all(hasattr(import_module(node.module), alias.name) for alias in node.names), node.module
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("ws", "weakspot"):
            assert node.attr in weakspot.__all__ or node.attr in ("envs", "agents"), node.attr


@pytest.mark.parametrize("code", blocks("toml"))
def test_toml_on_pages_can_be_read(code):
    tomllib.loads(code)


def test_files_named_in_commands_exist():
    for place, language, code in BLOCKS:
        if language == "sh":
            for name in re.findall(r"(?<![\w/])((?:docs|experiments|tests)/[\w./-]+\.(?:py|ipynb|safetensors))", code):
                assert (ROOT / name).is_file(), f"{place} names {name}"


def test_navigation_has_every_page_once():
    listed = list(navigation(tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"]))
    pages = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md") if path.parent.name != "decisions"}
    pages |= {*ROOT_PAGES.values(), *(f"reference/{name}" for name in PAGES), "decisions/index.md"}
    assert sorted(listed) == sorted(pages), "add the page to nav in zensical.toml"


def test_gathered_pages_link_to_copies_of_what_is_outside_docs(tmp_path):
    site = tmp_path / "pages"
    gather(ROOT, site)
    assert "](weaknesses.md" in (site / "index.md").read_text() and "docs/weaknesses" not in (site / "index.md").read_text()
    assert (
        "[26. Zensical for the docs site](026-zensical-for-the-docs-site.md)"
        in (site / "decisions" / "index.md").read_text()
    )
    assert (site / "files" / "src" / "weakspot" / "ground" / "likeness.py").is_file()
    assert "](contributing.md" in (site / "environments.md").read_text()


def test_links_in_code_blocks_stay(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("# x")
    page = tmp_path / "docs" / "a" / "page.md"
    page.parent.mkdir()
    page.touch()
    text = '[home](../../README.md#top) ![gone](gone.png)\n```md\n[home](../../README.md)\n```\n<img src="../../README.md">'
    changed = with_links(text, page, Path("a/page.md"), tmp_path, tmp_path / "site")
    assert changed.splitlines() == [
        "[home](../index.md#top) ![gone](gone.png)", "```md", "[home](../../README.md)", "```", '<img src="../index.md">',
    ]  # fmt: skip


def test_reference_has_every_command_option_artifact_error_and_entry_point():
    commands = PAGES["commands.md"](ROOT)
    for name, command in COMMANDS.items():
        assert f"`{name}`" in commands
        assert all(f"`{option.names[0]}`" in commands for option in command_options(command) if option.names[0] != "--help")
    artifacts = PAGES["artifacts.md"](ROOT)
    assert sum(map(len, artifact_modules().values())) >= 10
    for found in artifact_modules().values():
        assert all(f"### {artifact.__name__}, schema {artifact.SCHEMA}" in artifacts for artifact in found)
    tree = PAGES["errors.md"](ROOT)
    names = [name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)]
    assert all(f"`{name}`" in tree for name in names)
    extensions = PAGES["extensions.md"](ROOT)
    assert all(
        f"weakspot.{group}" in extensions for group in ("agent_formats", "environments", "editors", "recipes", "methods")
    )
    assert all(f".{name}\n" in PAGES["api.md"](ROOT) for name in weakspot.__all__)


def make_site(folder, body, head=""):
    (folder / "a").mkdir()
    (folder / "index.html").write_text(f"<html><head>{head}</head><body>{body}</body></html>")
    (folder / "a" / "page.html").write_text('<h2 id="there">x</h2><a href="../index.html">home</a>')
    return folder


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ('<a href="a/page.html#there">x</a><a href="https://example.com">x</a><a href="mailto:a@b">x</a>', ""),
        ('<a href="a/nowhere.html">x</a>', "links to a/nowhere.html, which is not in the site"),
        ('<a href="a/page.html#gone">x</a>', "links to a/page.html#gone, but there is no such anchor"),
        ('<img src="gone.png">', "loads gone.png, which is not in the site"),
        ('<script src="https://cdn.example.com/x.js"></script>', "loads https://cdn.example.com/x.js"),
        ('<script src="//cdn.example.com/x.js"></script>', "loads //cdn.example.com/x.js"),
    ],
)
def test_check_finds_what_leads_nowhere_or_elsewhere(body, problem, tmp_path):
    found = problems(make_site(tmp_path, body))
    assert found == ([f"index.html: {problem}"] if problem else [])


def test_check_reads_stylesheets_and_link_elements(tmp_path):
    site = make_site(tmp_path, "", '<link rel="stylesheet" href="https://fonts.example.com/css">')
    (site / "x.css").write_text("@import 'https://fonts.example.com/x'; a { background: url(//example.com/y.png) }")
    assert len(problems(site)) == 3


def test_shim_of_the_search_is_the_copy_in_the_site(tmp_path):
    site = make_site(tmp_path, '<script src="https://unpkg.com/iframe-worker/shim"></script>')
    (site / COPY).parent.mkdir()
    (site / COPY).write_text((DOCS / COPY).read_text())
    keep_local(site)
    assert problems(site) == []


def test_vendored_scripts_have_their_licence_next_to_them():
    scripts = list((DOCS / "assets").glob("*.js"))
    assert scripts and all("Permission" in script.with_suffix(".LICENSE").read_text() for script in scripts)


@pytest.mark.parametrize("code", [param for param in blocks("python") if "make_atari_env(" in param.values[0]])
def test_environments_on_pages_are_made_in_a_new_process(code):
    """In this process, other tests have registered the Atari games already."""
    pytest.importorskip("stable_baselines3", reason="the training extra is not installed")
    until_training = code.split("\nmodel = ")[0].replace("n_envs=8", "n_envs=1").replace("n_envs=4", "n_envs=1")
    assert "environment" in until_training
    subprocess.run([sys.executable, "-c", until_training], check=True, capture_output=True)


def test_every_extra_is_explained():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    page = TEXTS[Path("docs/how-to/install.md")]
    assert not [extra for extra in extras if f"| `{extra}` |" not in page], (
        "add a line to the table in docs/how-to/install.md"
    )
    assert set(extras) <= set(PURPOSES), "say in PURPOSES (weakspot/doctor.py) what the extra is for"
