"""Fidelity of the state model: how much of what matters to the agent survives reconstruction, on held-out states."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from weakspot.agents.base import Perceiver, same_action
from weakspot.analysis.objects.finders import recalls
from weakspot.analysis.objects.recall import Recall
from weakspot.data.dataset import StateDataset, as_stacks, as_state
from weakspot.data.recall import hidden_of
from weakspot.state_model.batch import recorded_output_vectors
from weakspot.state_model.information import Information, information
from weakspot.state_model.model import StateModel


@dataclass(frozen=True)
class Fidelity:
    """Measures of reconstructions against their real states.

    Attributes:
        mse: mean squared error per pixel, frames in [0, 1].
        agreement: share of states in which the agent acts the same (:func:`weakspot.agents.base.same_action`).
        output_errors: squared error of the agent's outputs divided by their variance, in each state (n,).
        recalls: recall of each kind of object, if the game's objects are known.
        information: what the latents carry about these states.
    """

    mse: float
    agreement: float
    output_errors: np.ndarray
    recalls: dict[str, Recall]
    information: Information

    @property
    def output_error(self) -> float:
        """The mean of ``output_errors``."""
        return float(self.output_errors.mean())

    def line(self) -> dict[str, float]:
        """The measures as plain data, as in a line of ``metrics.jsonl``, where ``output_error`` is called ``answer_error``;
        shares rounded to 4 digits."""
        return {
            "mse": self.mse,
            "agreement": round(self.agreement, 4),
            "answer_error": round(self.output_error, 4),
            "kl": self.information.kl,
            "active_units": float(self.information.active),
            **{f"{name.replace(' ', '_')}_recall": round(recall.share, 4) for name, recall in self.recalls.items()},
        }


def fidelity(model: StateModel, perceive: Perceiver, dataset: StateDataset, indices: np.ndarray) -> Fidelity:
    """Reconstructs the states ``indices`` of ``dataset`` and compares them with the real ones."""
    recorded = recorded_output_vectors(dataset)[torch.as_tensor(indices)]
    variance = recorded_output_vectors(dataset).var(dim=0, correction=0).clamp_min(1e-9)
    squared_error, agreed = 0.0, 0
    errors: list[np.ndarray] = []
    newest: list[np.ndarray] = []
    means: list[Tensor] = []
    log_variances: list[Tensor] = []
    actions = dataset.scores.shape[1]
    with torch.no_grad():
        for at in range(0, len(indices), 100):
            state = as_state(dataset.stacks(indices[at : at + 100])).to(model.device)
            mean, log_variance = model.posterior(state)
            means.append(mean)
            log_variances.append(log_variance)
            reconstructed = model.decode(mean)
            squared_error += (reconstructed - state).square().mean(dim=(1, 2, 3)).sum().item()
            output = perceive.at(hidden_of(dataset, indices[at : at + 100]))(reconstructed).vector().cpu()
            before = recorded[at : at + 100]
            agreed += int(same_action(output[:, :actions], before[:, :actions], dataset.agent.action_bounds).sum())
            errors.append(((output - before).square() / variance).mean(dim=1).double().numpy())
            newest.append(as_stacks(reconstructed.cpu(), dataset.environment.channels)[:, -1])
    objects = recalls(dataset.environment, dataset.newest(indices), np.concatenate(newest), dataset.ram[indices])
    n = len(indices)
    carried = information(torch.cat(means), torch.cat(log_variances))
    return Fidelity(squared_error / n, agreed / n, np.concatenate(errors), objects, carried)
