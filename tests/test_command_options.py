"""The options of commands as data, completion scripts, and the speed of the command line."""

import re
import subprocess
import sys

import pytest

from weakspot.cli import COMMANDS
from weakspot.command_options import describe, load_settings, options_of
from weakspot.completion import bash_script, command_options, fish_script, zsh_script

WITH_OPTIONS = [name for name, command in COMMANDS.items() if command.settings and not command.stage]
"""Stages have the options of run."""


def shown_options(capsys, *words):
    """The options that the command's own help shows."""
    from weakspot.cli import main

    with pytest.raises(SystemExit):
        main([*words, "--help"])
    return set(re.findall(r"(--[a-z][a-z0-9.-]+)(?=[ ,\n│])", capsys.readouterr().out))


def test_every_command_says_where_its_options_are():
    without = {name for name, command in COMMANDS.items() if not command.settings}
    assert without <= {"agents"}, f"give the dataclass of their options in COMMANDS (weakspot/cli.py): {without}"


@pytest.mark.parametrize("name", WITH_OPTIONS)
def test_options_are_those_of_the_help(name, capsys):
    command = COMMANDS[name]
    variants = [(name, variant) for variant in command.variants] or [(name,)]
    shown = set().union(*(shown_options(capsys, *words) for words in variants)) - {"--help"}
    listed = {word for option in command_options(command) for word in option.names if word.startswith("--")} - {"--help"}
    if command.variants:  # the options of the command itself can be given behind each variant, or before it
        shown |= shown_options(capsys, name) - {"--help"}
    assert listed == shown


@pytest.mark.parametrize("name", WITH_OPTIONS)
def test_every_option_has_a_help(name):
    options = [option for path in (COMMANDS[name].settings, *COMMANDS[name].variants.values())
               for option in options_of(load_settings(path))]  # fmt: skip
    assert not [option.names[0] for option in options if not option.help]
    assert describe(load_settings(COMMANDS[name].settings))


def test_kinds_defaults_and_switches():
    run = {option.names[0]: option for option in options_of(load_settings("weakspot.config:RunConfig"))}
    assert run["--trust"].names == ("--trust", "--no-trust") and run["--trust"].kind == ""
    assert (run["--collect.frames"].kind, run["--collect.frames"].default) == ("INT", "20000")
    assert run["--saliency"].choices == ("guided", "gradient")
    assert run["--targets"].several and not run["--agent"].several
    compare = options_of(load_settings("weakspot.commands:CompareConfig"))
    assert [option.names for option in compare if option.positional] == [("FIRST",), ("SECOND",)]
    assert compare[0].default is None


BASH = """
t() { COMP_WORDS=("$@"); COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 )); _weakspot; echo "${COMPREPLY[@]}"; }
t weakspot che
t weakspot run --train.recipe-
t weakspot run --targets T- V
t weakspot run --agent pon
t weakspot train-agent ac
t weakspot compare a b --fail-on g
t weakspot completion f
t weakspot clean --output READ
"""


def test_bash_completes_commands_options_and_values(tmp_path):
    (tmp_path / "README.md").touch()
    script = bash_script() + BASH
    done = subprocess.run(["bash", "-u", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "check-agent", "--train.recipe-settings", "V+ V-", "pong-double-dqn", "acktr", "gone", "fish", "README.md",
    ]  # fmt: skip


def test_scripts_name_every_command():
    for script in (bash_script(), zsh_script(), fish_script()):
        assert all(name in script for name in COMMANDS)


def processor_seconds(*words):
    """Seconds of processor time of a command, without the time it waits."""
    code = (
        "import resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(used.ru_utime + used.ru_stime)\n"
    )
    command = [sys.executable, "-c", code, sys.executable, *words]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize("words", [("-c", "import weakspot"), ("-m", "weakspot", "--help"), ("-m", "weakspot", "--version")])
def test_import_and_help_take_less_than_0_3_s_of_processor_time(words):
    assert min(processor_seconds(*words) for _ in range(3)) < 0.3


def test_help_of_run_imports_no_torch():
    code = "import sys, weakspot.config, weakspot.commands, tyro; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_module_is_the_command():
    shown = subprocess.run([sys.executable, "-m", "weakspot", "--help"], capture_output=True, text=True, check=True).stdout
    assert shown.startswith("usage: weakspot COMMAND")


def test_unknown_command_suggests_a_similar_one(capsys):
    from weakspot.cli import main

    assert main(["sweeep"]) == 2
    assert "did you mean sweep?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "todo"), [("run", "write --agent agent.zip"), ("clean", "look at weakspot clean --help")]
)
def test_a_value_without_an_option_says_which_option_to_write(command, todo, capsys):
    from weakspot.cli import main

    assert main([command, "agent.zip"]) == 2
    message = capsys.readouterr().err
    assert "'agent.zip' without an option" in message and todo in message
