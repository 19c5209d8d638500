"""All errors that weakspot raises on purpose, as one tree:

    WeakspotError
    ├── ConfigError            a setting is invalid, or settings contradict each other
    │   ├── UnknownGameError   there is no such Atari game or environment; the message suggests similar names
    │   ├── ExtensionError     there is no such agent format, environment, recipe, method or target, or its package is broken
    │   └── UnknownTargetError there is no such target; the message lists all targets
    ├── AgentError             the agent cannot be used
    │   ├── WeightsError       its weights are missing, truncated, or belong to another network
    │   ├── MismatchError      its actions or observation shape do not match the environment
    │   ├── OutputError        it returned an invalid output (NaN, wrong shape)
    │   └── SaliencyError      its saliency cannot be computed
    ├── RewardError            the environment returned a reward that is not a finite number
    ├── DatasetError           stored states are missing, damaged, or of another agent
    │   ├── SnapshotError      an environment snapshot is damaged, or of another environment
    │   └── EditError          a change of an environment's variables is impossible
    ├── StateModelError        a state model cannot be trained, loaded or used
    ├── SynthesisError         a search cannot be run
    │   └── TargetError        the target returned NaN or a wrong shape, or does not depend on the state
    ├── TrainingError          the training of an agent diverged
    └── RunError               a run folder cannot be used
        ├── RunMismatchError   it belongs to other settings
        ├── SchemaError        a newer version of weakspot wrote a file
        ├── DamagedResultError a finished result was changed after it was written
        ├── LeftoverError      what an interrupted stage left is damaged; the stage starts again
        └── StorageError       a file cannot be written or read: the disk is full, read-only or out of order

Each message says what was seen, what was expected, and what to do next.
"""

from __future__ import annotations

from pathlib import Path

LONGEST = 4_000
"""Characters of each part of a message, at most; values out of files may be longer."""


class WeakspotError(Exception):
    """Base class of every error that weakspot raises on purpose.

    Args:
        seen: what is wrong.
        expected: what would be right.
        todo: what the user can do about it.
    """

    def __init__(self, seen: str, *, expected: str = "", todo: str = "") -> None:
        self.seen, self.expected, self.todo = _cut(seen), _cut(expected), _cut(todo)
        lines = [self.seen]
        if expected:
            lines.append(f"  expected: {self.expected}")
        if todo:
            lines.append(f"  to do:    {self.todo}")
        super().__init__("\n".join(lines))


def _cut(text: str) -> str:
    """The text, without its middle if it is too long."""
    if len(text) <= LONGEST:
        return text
    half = LONGEST // 2
    return f"{text[:half]} ... ({len(text) - LONGEST:,} characters are left out) ... {text[-half:]}"


class ConfigError(WeakspotError):
    """A setting is invalid, or settings contradict each other."""


class UnknownGameError(ConfigError):
    """There is no such Atari game or environment."""


class ExtensionError(ConfigError):
    """There is no such agent format, environment, recipe, method or target, or the package that adds it is broken."""


class UnknownTargetError(ConfigError):
    """There is no such target."""


class AgentError(WeakspotError):
    """The agent cannot be used."""


class WeightsError(AgentError):
    """The agent's weights are missing, truncated, or belong to another network."""


class MismatchError(AgentError):
    """The agent's actions or observation shape do not match the environment."""


class OutputError(AgentError):
    """The agent returned an invalid output."""


class SaliencyError(AgentError):
    """Saliency cannot be computed for this agent."""


class RewardError(WeakspotError):
    """The environment returned a reward that is not a finite number."""


class DatasetError(WeakspotError):
    """Stored states are missing, damaged, or of another agent."""


class SnapshotError(DatasetError):
    """An environment snapshot is damaged, or of another environment."""


class EditError(DatasetError):
    """A change of an environment's variables is impossible."""


class StateModelError(WeakspotError):
    """A state model cannot be trained, loaded or used."""


class SynthesisError(WeakspotError):
    """A search cannot be run."""


class TargetError(SynthesisError):
    """The target returned NaN or a wrong shape, or does not depend on the state."""


class TrainingError(WeakspotError):
    """The training of an agent diverged."""


class RunError(WeakspotError):
    """A run folder cannot be used."""


class RunMismatchError(RunError):
    """The run folder belongs to other settings."""


class SchemaError(RunError):
    """A newer version of weakspot wrote a file."""


class DamagedResultError(RunError):
    """A finished result was changed after it was written.

    Args:
        seen, expected, todo: see :class:`WeakspotError`.
        folder: of the result.
        problem: what is wrong with it.
    """

    def __init__(self, seen: str, *, expected: str = "", todo: str = "", folder: Path, problem: str) -> None:
        super().__init__(seen, expected=expected, todo=todo)
        self.folder, self.problem = folder, problem


class LeftoverError(RunError):
    """What an interrupted stage left in its folder is damaged, so that it cannot be resumed."""


class StorageError(RunError):
    """A file cannot be written or read: the disk is full, read-only or out of order, or a resource has run out."""


class CollapsedPosteriorWarning(UserWarning):
    """The latents of a state model carry next to no information about a state."""


class MaskWarning(UserWarning):
    """An agent that was trained with action masks plays without them."""


def missing_extra(package: str, extra: str) -> ConfigError:
    """The error for a package that is not installed, and the extra of weakspot that installs it."""
    return ConfigError(
        f"{package} is not installed", expected=f"the extra weakspot[{extra}]", todo=f"pip install 'weakspot[{extra}]'"
    )
