"""Stage: run the agent in its environment and store the states it visits (section 3)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from weakspot.artifacts.collection import SUMMARY, Collection, write_collection
from weakspot.errors import DatasetError, LeftoverError
from weakspot.session import Session
from weakspot.stages.estimate import Estimate
from weakspot.stages.stage import Stage
from weakspot.system.progress import progress_bar, say


class CollectStage(Stage):
    """Runs the agent with epsilon-greedy exploration, and stores frames, outputs and snapshots."""

    name: ClassVar[str] = "collect"
    inputs: ClassVar[tuple[str, ...]] = ("subject",)
    threads: ClassVar[int] = 1

    def key(self, session: Session, part: str) -> Mapping[str, Any]:
        """``--collect.*``."""
        return asdict(session.config.collect)

    def outputs(self, session: Session, part: str) -> tuple[str, ...]:
        """The summary, and the description of the data set."""
        return SUMMARY, "meta.json"

    def estimate(self, session: Session) -> Estimate:
        """The number of states, by the measured pace."""
        frames, pace = session.config.collect.frames, session.pace
        return Estimate(frames / pace, f"{frames:,} decisions, about {pace:,.0f} a second")

    def work(self, session: Session, part: str, folder: Path) -> str:
        """See :func:`weakspot.data.collect.collect`."""
        from weakspot.data.collect import collect

        config, started = session.config.collect, time.monotonic()
        resumed_at: list[int] = []
        with progress_bar(self.name) as report:

            def progress(done: int, total: int) -> None:
                if not resumed_at:
                    resumed_at.append(done)
                report(done / total, f"{done:,} of {total:,} states")

            try:
                dataset = collect(session.subject.agent, session.subject.factory, config, folder, progress=progress)
            except DatasetError as error:  # the folder is the stage's own: what is wrong there was left by an attempt
                raise LeftoverError(error.seen, expected=error.expected, todo=error.todo) from error
        seconds = time.monotonic() - started
        new = len(dataset) - resumed_at[0] if resumed_at else 0
        collection = Collection(
            frames=len(dataset),
            epsilon=config.epsilon,
            episode_scores=tuple(float(score) for score in dataset.episode_scores()),
            seconds=round(seconds, 1),
            decisions_per_second=round(new / seconds, 1),
        )
        write_collection(folder, collection)
        if not collection.episode_scores:
            say(f"no game ended in the collection: its states are from the first {dataset.steps:,} decisions of games only; "
                "collect more --collect.frames, or in fewer --collect.streams")  # fmt: skip
        return dataset.fingerprint
