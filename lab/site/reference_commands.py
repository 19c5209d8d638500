"""The reference of the command line, from the dataclasses of its settings."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lab.site.markdown import cell, code, table
from weakspot.cli import COMMANDS, RUN, Command
from weakspot.command_options import Option, describe, load_settings, options_of

STAGES = """\
## Stages {#stages}

Each stage is a command as well. It has all options of [`run`](#run), does its own work and no other, and needs the results
that it reads."""


def commands_page(root: Path) -> str:
    """All commands with all their options."""
    stages = [name for name, command in COMMANDS.items() if command.stage]
    parts = [
        "# Commands",
        "`weakspot COMMAND --help` shows the same in the terminal. "
        "Exit status: 0; 1 if a check of `compare`, `doctor` or `check-agent` says so; 2 after an error; 130 after Ctrl-C. "
        "[Shell completion](../how-to/install.md#shell-completion).",
        table(
            ("command", ""), ((f"[`{name}`](#{_anchor(name)})", cell(command.help)) for name, command in COMMANDS.items())
        ),
    ]
    for name, command in COMMANDS.items():
        if not command.stage:
            parts.extend(_command(name, command))
        elif name == stages[0]:
            parts.append(STAGES)
            parts.append(
                table(("stage", ""), ((code(stage), cell(COMMANDS[stage].help.removeprefix("Stage: "))) for stage in stages))
            )
    return "\n\n".join(parts) + "\n"


def _anchor(name: str) -> str:
    return "stages" if COMMANDS[name].stage else name


def _command(name: str, command: Command) -> Iterable[str]:
    yield f"## {name} {{#{name}}}"
    text = (
        cell(describe(load_settings(command.settings))) if command.settings and not command.variants else cell(command.help)
    )
    yield text
    options = options_of(load_settings(command.settings)) if command.settings else ()
    if command.settings == RUN and name != "run":
        yield "Takes the options of [`run`](#run)."
        return
    usage = " ".join(option.names[0] for option in options if option.positional)
    variant = "{" + ",".join(command.variants) + "} " if command.variants else ""
    yield f"```\nweakspot {name} {variant}{usage + ' ' if usage else ''}{'[OPTIONS]' if options else ''}".rstrip() + "\n```"
    yield from _groups(options)
    for variant, path in command.variants.items():
        yield f"### {name} {variant}"
        yield cell(describe(load_settings(path)))
        yield from _groups(options_of(load_settings(path)))


def _groups(options: Iterable[Option]) -> Iterable[str]:
    groups: dict[str, list[Option]] = {}
    for option in options:
        groups.setdefault(option.group, []).append(option)
    for group, members in groups.items():
        if group:
            yield f"### --{group}.*\n\n{cell(members[0].group_help)}"
        rows = (
            (", ".join(map(code, option.names)), _value(option), code(_default(option)), cell(option.help))
            for option in members
        )
        yield table(("option", "value", "default", "meaning"), rows)


def _value(option: Option) -> str:
    value = code(" ".join(option.choices) if option.choices else option.kind)
    return f"{value} ..." if option.several else value


def _default(option: Option) -> str:
    return "" if option.default in (None, "None", "") else str(option.default)
