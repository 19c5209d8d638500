"""The protocol of stages: a name, the stages it reads, the settings that determine its result, and its work.

Stages form a graph: each reads the results of other stages and makes one of its own, or one for each target. A result is
recomputed if and only if its key changes, which is a digest of these settings and of the content of the inputs.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

from weakspot.session import Session
from weakspot.stages.estimate import Estimate


class Stage(Protocol):
    """One stage. Subclass it in a file of its own, and add an entry to :mod:`weakspot.stages.listing`.

    Only :meth:`work` may import torch, so that a run with nothing to do ends quickly.
    """

    name: ClassVar[str]
    """Name of the stage, of its subcommand, and of its folder in the store."""
    inputs: ClassVar[tuple[str, ...]]
    """Names of the stages whose results it reads. A stage for each target reads the input's result for the same target."""
    version: ClassVar[int] = 1
    """Part of the key; raise it when a change of the code changes results."""
    threads: ClassVar[int] = 0
    """Threads of torch during the work; 0 uses the number of workers of the training."""
    needs_agent: ClassVar[bool] = True
    """Whether its work uses the agent or torch; if not, neither is loaded for it."""
    quick: ClassVar[bool] = False
    """Whether it takes only seconds; quick stages are also run by commands for other stages."""
    scratch: ClassVar[tuple[str, ...]] = ()
    """Files that are only needed to resume after a kill; they are deleted when the result is finished."""

    def parts(self, session: Session) -> tuple[str, ...]:
        """Names of its results: ``("",)`` for a single one, the slugs of targets for one each, or none."""
        return ("",)

    @abstractmethod
    def key(self, session: Session, part: str) -> Mapping[str, Any]:
        """The settings that determine the result, as plain data. The content of the inputs is added by the pipeline."""
        ...

    @abstractmethod
    def outputs(self, session: Session, part: str) -> tuple[str, ...]:
        """Names of files that the result must contain; it may contain more."""
        ...

    def links(self, part: str) -> Mapping[str, str]:
        """Links in the run folder: name to file of the result, or to ``.`` for the folder of the result."""
        return {f"{self.name}/{part}" if part else self.name: "."}

    def estimate(self, session: Session) -> Estimate | None:
        """How long one result takes, from settings or from what :attr:`Session.pace` measured; None if that is not known."""
        return None

    @abstractmethod
    def work(self, session: Session, part: str, folder: Path) -> str:
        """Makes the result in ``folder``, and resumes from the files of an interrupted attempt if there are any.

        Returns:
            A fingerprint of the content that later stages read; equal content must have equal fingerprints.
        """
        ...
