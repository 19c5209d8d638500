"""What a stage is: its name, what it reads, the settings that decide its result, and its work.

Stages form a graph: each reads the results of others and makes its own, once for the run or once for each target. A result
is made again exactly if its key changes, which is a digest of these settings and of the content of the inputs.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

from weakspot.session import Session


class Stage(Protocol):
    """One stage. Subclass it in a file of its own, and add a line to :mod:`weakspot.stages.listing`.

    The methods that the keys need must not import torch, so that a run with nothing to do ends quickly.
    """

    name: ClassVar[str]
    """Its subcommand, and its folder in the store."""
    inputs: ClassVar[tuple[str, ...]]
    """Names of the stages whose results it reads. A stage for each target reads the input's result for the same target."""
    version: ClassVar[int] = 1
    """Part of the key; raise it when the same settings give another result."""
    threads: ClassVar[int] = 0
    """Threads of the tensor work; 0 takes as many as the training has workers."""
    quick: ClassVar[bool] = False
    """Whether it takes seconds, so that a command for another stage may run it as well."""
    scratch: ClassVar[tuple[str, ...]] = ()
    """Files that are only needed while it works, to go on after a kill."""

    def parts(self, session: Session) -> tuple[str, ...]:
        """Its results: one without a name, or one for each slug that is returned, or none."""
        return ("",)

    @abstractmethod
    def key(self, session: Session, part: str) -> Mapping[str, Any]:
        """The settings that decide the result, as plain data, without what the inputs hold."""
        ...

    @abstractmethod
    def outputs(self, session: Session, part: str) -> tuple[str, ...]:
        """Names of the files that it writes; it may write more."""
        ...

    def links(self, part: str) -> Mapping[str, str]:
        """What the run folder shows: readable name to file of the result, or ``.`` for its folder."""
        return {f"{self.name}/{part}" if part else self.name: "."}

    @abstractmethod
    def work(self, session: Session, part: str, folder: Path) -> str:
        """Makes the result in ``folder``, going on with what a killed attempt left there.

        Returns:
            The fingerprint of what later stages read; equal content must give equal fingerprints.
        """
        ...
