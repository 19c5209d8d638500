"""``weakspot completion``: scripts with which a shell completes commands, options and their values.

The scripts contain all names, so that the shell starts no Python while it completes.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from weakspot.agents.zoo import names
from weakspot.cli import COMMANDS, Command
from weakspot.command_options import Option, load_settings, options_of
from weakspot.state_model.recipe_names import REGISTRY
from weakspot.system.progress import say
from weakspot.targets.names import SCORE_SYMBOLS, VALUE_SYMBOLS

HELP = Option(("--help", "-h"), "", (), "False", "show the help of the command", "", "", False)


@dataclass(frozen=True)
class CompletionConfig:
    """Prints a completion script.

    bash: `source <(weakspot completion bash)` in ~/.bashrc. zsh: `source <(weakspot completion zsh)` in ~/.zshrc, after
    compinit. fish: `weakspot completion fish > ~/.config/fish/completions/weakspot.fish`.
    """

    shell: Annotated[Literal["bash", "zsh", "fish"], tyro.conf.Positional]
    """The shell that reads the script."""


def completion(arguments: Sequence[str]) -> None:
    """``weakspot completion``."""
    shell = tyro.cli(CompletionConfig, prog="weakspot completion", args=arguments).shell
    say({"bash": bash_script, "zsh": zsh_script, "fish": fish_script}[shell]())


def command_options(command: Command) -> tuple[Option, ...]:
    """All options of a command: of its settings, of its variants, and ``--help``."""
    paths = (command.settings, *command.variants.values())
    found = (option for path in paths if path for option in options_of(load_settings(path)))
    return (*{option.names: option for option in found}.values(), HELP)


def bash_script() -> str:
    """The script for bash."""
    return f"""# Completion of weakspot for bash.
{_functions()}
_weakspot() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" command="${{COMP_WORDS[1]}}" before="" at
    for ((at = COMP_CWORD - 1; at > 1; at--)); do
        if [[ "${{COMP_WORDS[at]}}" == --* ]]; then before="${{COMP_WORDS[at]}}"; break; fi
    done
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W {shlex.quote(" ".join((*COMMANDS, "--help", "--version")))} -- "$word"))
    elif [[ "$word" == -* ]]; then
        COMPREPLY=($(compgen -W "$(_weakspot_options "$command")" -- "$word"))
    else
        COMPREPLY=($(compgen -W "$(_weakspot_values "$command" "$before")" -- "$word"))
        if [ "${{#COMPREPLY[@]}}" -eq 0 ]; then COMPREPLY=($(compgen -f -- "$word")); fi
    fi
}}
complete -o filenames -F _weakspot weakspot"""


def zsh_script() -> str:
    """The script for zsh, which takes completions of bash."""
    return "# Completion of weakspot for zsh.\nautoload -U +X bashcompinit && bashcompinit\n" + bash_script()


def fish_script() -> str:
    """The script for fish."""
    lines = ["# Completion of weakspot for fish.", "complete -c weakspot -e"]
    for name, command in COMMANDS.items():
        lines.append(f"complete -c weakspot -f -n __fish_use_subcommand -a {name} -d {_fish(command.help)}")
        seen = f"-n '__fish_seen_subcommand_from {name}'"
        for variant in command.variants:
            lines.append(f"complete -c weakspot -f {seen} -a {variant}")
        for option in command_options(command):
            values = _values(option)
            if option.positional:
                lines.extend(f"complete -c weakspot {seen} -a {_fish(' '.join(values))}" for _ in values[:1])
                continue
            takes = " -r" if option.kind or option.choices else ""
            listed = f" -a {_fish(' '.join(values))}" if values else ""
            for word in option.names:
                if word.startswith("--"):
                    lines.append(f"complete -c weakspot {seen} -l {word[2:]}{takes}{listed} -d {_fish(option.help)}")
    return "\n".join(lines)


def _functions() -> str:
    """Shell functions that print the options of a command, and the values of an option."""
    options = {
        name: " ".join(word for option in command_options(command) if not option.positional for word in option.names)
        for name, command in COMMANDS.items()
    }
    values: dict[str, str] = {}
    for name, command in COMMANDS.items():
        first = " ".join(command.variants)
        if first:
            values[f"{name}:*"] = first
        for option in command_options(command):
            words = " ".join(_values(option))
            for key in ("*",) if option.positional else option.names:
                if words:
                    values[f"{name}:{key}"] = words
    last = {key: words for key, words in values.items() if key.endswith(":*")}
    values = {key: words for key, words in values.items() if key not in last} | last  # a pattern matches what is left
    return _case("_weakspot_options", '"$1"', options) + "\n" + _case("_weakspot_values", '"$1:$2"', values)


def _case(name: str, subject: str, words: Mapping[str, str]) -> str:
    by_words: dict[str, list[str]] = {}
    for key, value in words.items():
        by_words.setdefault(value, []).append(key)
    lines = [f"        {'|'.join(keys)}) echo {shlex.quote(value)} ;;" for value, keys in by_words.items()]
    return "\n".join([f"{name}() {{", f"    case {subject} in", *lines, "    esac", "}"])


def _values(option: Option) -> tuple[str, ...]:
    """The values that are suggested; an option with a path completes files instead."""
    if option.choices:
        return option.choices
    listed = {
        "--agent": tuple(names()),
        "--targets": tuple(SCORE_SYMBOLS | VALUE_SYMBOLS),
        "--train.recipe": REGISTRY.names(),
    }
    return listed.get(option.names[0], ())


def _fish(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
