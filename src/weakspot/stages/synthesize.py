"""Stage: synthesise states for each target with Algorithm 1 (section 3.2)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from weakspot.artifacts import findings as artifact
from weakspot.session import Session
from weakspot.stages.stage import Stage
from weakspot.stages.target_key import target_key
from weakspot.system.progress import progress_bar
from weakspot.system.provenance import digest, file_digest


class SynthesizeStage(Stage):
    """Searches the latent space of the state model for states with a low energy, for each target."""

    name: ClassVar[str] = "synthesize"
    inputs: ClassVar[tuple[str, ...]] = ("subject", "collect", "train", "policy-values", "overconfidence")
    version: ClassVar[int] = 3  # 2: with the paths of the searches; 3: searches that are behind end early

    def parts(self, session: Session) -> tuple[str, ...]:
        """One for each target."""
        return tuple(session.targets)

    def key(self, session: Session, part: str) -> Mapping[str, Any]:
        """``--synthesize.*``, the target with its code, ``--sharpness``, and the split into training and held-out states."""
        config = session.config
        return asdict(config.synthesize) | target_key(session, part) | {"saliency": config.saliency}

    def outputs(self, session: Session, part: str) -> tuple[str, ...]:
        """The findings."""
        return artifact.SEARCH, artifact.ARRAYS

    def work(self, session: Session, part: str, folder: Path) -> str:
        """See :func:`weakspot.search.algorithm_1.synthesize`."""
        from weakspot.data.dataset import as_stacks
        from weakspot.saliency.images import saliency_images
        from weakspot.saliency.rules import saliency
        from weakspot.search.algorithm_1 import synthesize
        from weakspot.search.energy import energy_equation, measure_scale
        from weakspot.search.path import PathRecorder

        config, perceive, target = session.config.synthesize, session.perceive_for_targets, session.target(part)
        scale = measure_scale(target, session.recorded_outputs(session.trained_on))
        start = session.starts(target)
        channels = session.subject.spec.channels
        recorder = PathRecorder(config.steps, channels)
        started = time.monotonic()
        with progress_bar(target.name) as report:
            result = synthesize(
                session.model, perceive, target, start, config, scale,
                progress=lambda done, total: report(done / total, ""), watch=recorder,
            )  # fmt: skip
        search = artifact.Search(
            target=target.name, slug=target.slug, title=target.title, description=target.description,
            energy_equation=energy_equation(target, scale, config), seed=config.seed,
            settings=asdict(config) | asdict(scale), seconds=round(time.monotonic() - started, 1),
        )  # fmt: skip
        value, states = result.output.value, as_stacks(result.state.cpu(), channels)
        findings = artifact.Findings(
            search=search,
            states=states,
            scores=result.output.scores.cpu().numpy(),
            value=None if value is None else value.cpu().numpy(),
            energy=result.energy,
            target=result.target.cpu().numpy(),
            prior_kl=result.kl.cpu().numpy(),
            iterations=result.iterations,
            saliency=saliency_images(saliency(perceive, result.state)),
            latent=result.noise.cpu().numpy(),
            latent_mean=result.distribution.mean.cpu().numpy(),
            latent_sigma=result.distribution.sigma.cpu().numpy(),
            path_steps=recorder.steps,
            path=recorder.paths(result.number, states),
        )
        artifact.write_findings(folder, findings)
        description = asdict(search)
        del description["seconds"]
        return digest(file_digest(folder / artifact.ARRAYS), description)
