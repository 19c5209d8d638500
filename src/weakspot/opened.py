"""Opens a finished run to play on from its states."""

from __future__ import annotations

from weakspot.artifacts.run import Run
from weakspot.config import RunConfig
from weakspot.confirm.config import ConfirmConfig
from weakspot.session import Session


def open_run(run: Run, *, trust: bool) -> Session:
    """A session that reads the results of a finished run; ``trust`` allows code in the agent's file to run."""
    settings = run.settings
    confirm = settings.get("confirm", {})
    config = RunConfig(
        settings["agent"], settings["environment"], trust, run.folder, device=settings["device"],
        saliency=settings["saliency"],
        confirm=ConfirmConfig(**confirm | {"holds": tuple(confirm["holds"])}) if confirm else ConfirmConfig(),
    )  # fmt: skip
    return Session(config, {name: entry.folder for name, entry in run.entries.items()})
