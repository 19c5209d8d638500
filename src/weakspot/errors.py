"""Everything weakspot raises on purpose, as one tree:

    WeakspotError
    ├── ConfigError            a setting is impossible, or settings contradict each other
    │   ├── UnknownGameError   no such Atari game; the message names the nearest ones
    │   └── UnknownTargetError no such target; the message lists those that exist
    ├── AgentError             the agent cannot be used
    │   ├── WeightsError       its weights are missing, truncated or another network's
    │   ├── MismatchError      it was made for another environment (actions, observation shape)
    │   ├── OutputError        it answered something that is no answer (NaN, wrong shape)
    │   └── SaliencyError      it cannot be told where it looks
    ├── DatasetError           stored states are missing, damaged or another agent's
    │   └── SnapshotError      an emulator snapshot does not match its checksum
    ├── StateModelError        a state model cannot be trained, loaded or used
    ├── SynthesisError         the optimisation cannot be run
    │   └── TargetError        the target returned NaN, a wrong shape, or does not depend on the state
    ├── TrainingError          the training of an agent went astray
    └── RunError               a run folder cannot be used
        ├── RunMismatchError   it belongs to another configuration
        └── StorageError       the disk is full or read-only

Each message says what was seen, what was expected and what to do next.
"""

from __future__ import annotations


class WeakspotError(Exception):
    """Base of every error that weakspot raises on purpose.

    Args:
        seen: what was found.
        expected: what should have been there.
        todo: what the reader can do about it.
    """

    def __init__(self, seen: str, *, expected: str = "", todo: str = "") -> None:
        self.seen, self.expected, self.todo = seen, expected, todo
        lines = [seen]
        if expected:
            lines.append(f"  expected: {expected}")
        if todo:
            lines.append(f"  to do:    {todo}")
        super().__init__("\n".join(lines))


class ConfigError(WeakspotError):
    """A setting is impossible, or settings contradict each other."""


class UnknownGameError(ConfigError):
    """No such Atari game."""


class ExtensionError(ConfigError):
    """No such agent format, environment, recipe, method or target, or the package that adds it is broken."""


class UnknownTargetError(ConfigError):
    """No such target."""


class AgentError(WeakspotError):
    """The agent cannot be used."""


class WeightsError(AgentError):
    """The agent's weights are missing, truncated or another network's."""


class MismatchError(AgentError):
    """The agent was made for another environment."""


class OutputError(AgentError):
    """The agent answered something that is no answer."""


class SaliencyError(AgentError):
    """Guided backpropagation cannot be computed for this agent."""


class DatasetError(WeakspotError):
    """Stored states are missing, damaged or another agent's."""


class SnapshotError(DatasetError):
    """An emulator snapshot does not match its checksum."""


class StateModelError(WeakspotError):
    """A state model cannot be trained, loaded or used."""


class SynthesisError(WeakspotError):
    """The optimisation cannot be run."""


class TargetError(SynthesisError):
    """The target returned NaN or a wrong shape, or does not depend on the state."""


class TrainingError(WeakspotError):
    """The training of an agent went astray."""


class RunError(WeakspotError):
    """A run folder cannot be used."""


class RunMismatchError(RunError):
    """The run folder belongs to another configuration."""


class SchemaError(RunError):
    """A newer version of weakspot wrote a file."""


class StorageError(RunError):
    """The disk is full or read-only."""
