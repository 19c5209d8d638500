"""Stage: train the state model on the recorded states (section 3.1)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from weakspot.artifacts.training import MODEL, WEIGHTS
from weakspot.errors import DamagedResultError
from weakspot.session import Session
from weakspot.stages.estimate import Estimate
from weakspot.stages.stage import Stage
from weakspot.state_model.recipe_names import REGISTRY
from weakspot.system.progress import progress_bar
from weakspot.system.provenance import file_digest

CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


class TrainStage(Stage):
    """Trains the state model."""

    name: ClassVar[str] = "train"
    inputs: ClassVar[tuple[str, ...]] = ("subject", "collect", "saliency")
    version: ClassVar[int] = 5  # 5: the network of fast is trained with Muon
    threads: ClassVar[int] = 1
    scratch: ClassVar[tuple[str, ...]] = ("checkpoint.pt", "prior.pt")

    def key(self, session: Session, part: str) -> Mapping[str, Any]:
        """``--train.*``, with the number format of this machine's processor, and the type of the device."""
        config, device = session.config.train, session.config.device.partition(":")[0]
        settings = asdict(config)
        if device == "cpu":
            settings["precision"] = config.cpu_format
        for name in ("checkpoint_every", "measure_every", "measured"):  # which do not change the model
            del settings[name]
        return settings | {"device": device, "provider": REGISTRY.provider(config.recipe)}

    def outputs(self, session: Session, part: str) -> tuple[str, ...]:
        """The weights, and their description."""
        return WEIGHTS, MODEL

    def estimate(self, session: Session) -> Estimate | None:
        """``--train.minutes``; None if the budget is in steps."""
        config = session.config.train
        clock = "" if config.clock == "wall" else " of processor time"
        return None if config.steps else Estimate(60 * config.minutes, f"--train.minutes{clock}")

    def work(self, session: Session, part: str, folder: Path) -> str:
        """See :func:`weakspot.state_model.train.train`."""
        from weakspot.analysis.fidelity import fidelity
        from weakspot.state_model.train import train

        session.check_target_scales()
        config, dataset = session.config.train, session.dataset
        measured = session.held_out_sample(config.measured)
        if session.ranks is not None:
            session.ranks.broadcast({name: str(path) for name, path in session.results.items()})
        try:
            with progress_bar(self.name) as report:
                train(
                    session.perceive, dataset, session.maps, config, folder,
                    measures=lambda model: fidelity(model, session.perceive, dataset, measured).line(),
                    clock=CLOCKS[config.clock], progress=report, ranks=session.ranks,
                )  # fmt: skip
        except DamagedResultError:  # its inputs are made again, and then the training
            if session.ranks is not None:
                session.ranks.broadcast(None)
            raise
        return file_digest(folder / WEIGHTS)
