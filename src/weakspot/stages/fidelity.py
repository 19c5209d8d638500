"""Stage: measure how faithful the state model's reconstructions of held-out states are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from weakspot.artifacts.evidence import (
    FIDELITY,
    RECONSTRUCTIONS,
    Fidelity,
    Interval,
    ObjectRecall,
    Reconstructions,
    write_fidelity,
)
from weakspot.session import Session
from weakspot.stages.stage import Stage
from weakspot.system.provenance import digest, file_digest

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class FidelityStage(Stage):
    """Measures reconstructions of held-out states: pixel error, change of the agent's outputs, recall of objects, and
    what the latents carry."""

    name: ClassVar[str] = "fidelity"
    inputs: ClassVar[tuple[str, ...]] = ("subject", "collect", "train")
    version: ClassVar[int] = 3

    def key(self, session: Session, part: str) -> Mapping[str, Any]:
        """``--fidelity.*``, and which states are held out."""
        return asdict(session.config.fidelity) | {
            "split": session.config.train.held_out,
            "saliency": session.config.saliency,
        }

    def outputs(self, session: Session, part: str) -> tuple[str, ...]:
        """The measures, and some reconstructions."""
        return FIDELITY, RECONSTRUCTIONS

    def work(self, session: Session, part: str, folder: Path) -> str:
        """See :func:`weakspot.analysis.fidelity.fidelity`."""
        from weakspot.analysis.fidelity import fidelity

        indices = session.held_out_sample(session.config.fidelity.held_out)
        measured = fidelity(session.model, session.perceive, session.dataset, indices)
        records = [recall.record(name) for name, recall in measured.recalls.items()]
        objects = tuple(
            ObjectRecall(str(r["name"]), Interval(float(r["recall"]), float(r["low"]), float(r["high"])), int(r["n"]))
            for r in records
        )
        carried = measured.information
        result = Fidelity(
            len(indices), measured.mse, measured.agreement, measured.output_error, objects,
            carried.kl, carried.active, carried.latent,
        )  # fmt: skip
        worst_first = indices[measured.output_errors.argsort(kind="stable")[::-1]]
        write_fidelity(folder, result, _reconstructions(session, worst_first))
        return digest(file_digest(folder / FIDELITY), file_digest(folder / RECONSTRUCTIONS))


def _reconstructions(session: Session, worst_first: npt.NDArray[np.int64]) -> Reconstructions:
    """Some held-out states and their reconstructions: random ones, and then the first others of ``worst_first`` (n,)."""
    import numpy as np
    import torch

    from weakspot.agents.base import same_action
    from weakspot.data.dataset import as_stacks, as_state
    from weakspot.data.recall import hidden_of
    from weakspot.saliency.images import saliency_images
    from weakspot.saliency.rules import saliency

    dataset, model, perceive, held_out = session.dataset, session.model, session.perceive, session.held_out
    count = min(session.config.fidelity.reconstructions, len(held_out))
    random = np.sort(np.random.default_rng([0, 3]).choice(held_out, count, replace=False))
    others = worst_first[~np.isin(worst_first, random)][: session.config.fidelity.worst]
    chosen = np.concatenate([random, others])
    state, perceive = as_state(dataset.stacks(chosen)).to(model.device), perceive.at(hidden_of(dataset, chosen))
    with torch.no_grad():
        reconstructed = model.reconstruct(state)
        before, after = perceive(state), perceive(reconstructed)
    bounds = session.subject.agent.spec.action_bounds
    return Reconstructions(
        real=dataset.stacks(chosen),
        reconstructed=as_stacks(reconstructed.cpu(), dataset.environment.channels),
        saliency=saliency_images(saliency(perceive, state)),
        scores_real=before.scores.cpu().numpy(),
        scores_reconstructed=after.scores.cpu().numpy(),
        same_action=same_action(before.scores, after.scores, bounds).cpu().numpy(),
        index=chosen,
        worst=np.arange(len(chosen)) >= count,
    )
