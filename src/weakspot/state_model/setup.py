"""Everything that determines the training of a state model, resolved before its first step."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from weakspot.agents.base import Perceiver
from weakspot.data.dataset import StateDataset
from weakspot.errors import ConfigError
from weakspot.state_model.batch import DataStatistics, measure, with_full_history
from weakspot.state_model.config import TrainConfig
from weakspot.state_model.feeder import Feeder, with_batch_size
from weakspot.state_model.recipes import Recipe, all_settings, configured_recipe, settings
from weakspot.system.compute import resolve, seeded
from weakspot.system.provenance import digest


@dataclass(frozen=True)
class TrainingSetup:
    """What is trained, on which data, for how long.

    Attributes:
        perceive: A(s), the agent.
        dataset: the recorded states.
        maps: the stored saliency maps of all these states (n, h/2, w/2).
        config: budget, seed and machine.
        recipe: with the batch size for this device.
        precision: number format of matrix products.
    """

    perceive: Perceiver
    dataset: StateDataset
    maps: np.ndarray
    config: TrainConfig
    recipe: Recipe
    precision: torch.dtype

    @property
    def device(self) -> torch.device:
        return self.perceive.agent.device

    @property
    def prior_share(self) -> float:
        """Share of the budget that training the flow gets; 0 for a recipe without one."""
        return self.config.prior_share if self.recipe.flow else 0.0

    @property
    def training_digest(self) -> str:
        """Digest of everything the training depends on, except its length.

        The number of workers is excluded: it changes results by rounding only, and may differ after a resume.
        """
        config = self.config
        return digest(
            *(self.dataset.fingerprint, self.perceive.agent.spec.fingerprint, config.recipe, settings(self.recipe)),
            *(config.seed, config.held_out, str(self.precision), self.prior_share, self.perceive.rule),
        )

    @property
    def model_digest(self) -> str:
        """Digest of everything the finished model depends on: :attr:`training_digest`, the budget and the flow."""
        config = self.config
        return digest(
            self.training_digest, float(config.minutes), config.steps, config.prior_steps, *all_settings(self.recipe)
        )

    def training_states(self) -> np.ndarray:
        """Indices of the states to train on: neither held out nor with black frames in their history.

        Raises:
            ConfigError: there are none.
        """
        indices = with_full_history(self.dataset, self.dataset.split(self.config.held_out)[0])
        if not len(indices):
            raise ConfigError(
                f"none of the {len(self.dataset):,} states is left to train on",
                expected="streams that are longer than their held-out part",
                todo="collect more frames in fewer streams, or lower --train.held-out",
            )
        return indices

    def statistics(self, indices: np.ndarray) -> DataStatistics:
        """The statistics of the training states, on the agent's device."""
        generator = np.random.default_rng([self.config.seed, 0])
        return measure(self.dataset, indices, generator).to(self.device)

    def network(self, statistics: DataStatistics) -> Any:
        """The untrained network of the recipe, initialised with the seed."""
        with seeded(self.config.seed):
            return self.recipe.network(statistics, self.precision).to(self.device)

    def feeder(self, indices: np.ndarray, latent: int) -> Feeder:
        """The batches of the training, from its beginning."""
        return Feeder(self.dataset, self.maps, indices, latent, self.config.seed)

    def info(self, network: Any) -> dict[str, Any]:
        """What the model file says about its training, apart from the steps and seconds."""
        return {
            "recipe": self.config.recipe,
            "equation": self.recipe.equation,
            "settings": settings(self.recipe),
            "train": asdict(self.config),
            "precision": str(self.precision).removeprefix("torch."),
            "data": self.dataset.fingerprint,
            "agent": self.perceive.agent.spec.name,
            "made_of": self.model_digest,
            "parameters": sum(parameter.numel() for parameter in network.parameters()),
            "latent": network.latent,
        }


def make_setup(
    perceive: Perceiver, dataset: StateDataset, maps: np.ndarray, config: TrainConfig, chosen_recipe: Recipe | None
) -> TrainingSetup:
    """Resolves the recipe (by default the one that ``config`` names), its batch size and its precision on this device.

    Raises:
        ConfigError: there is no recipe of that name.
    """
    device = perceive.agent.device
    named = chosen_recipe or configured_recipe(config.recipe, config.recipe_settings)
    chosen = with_batch_size(named, config, device)
    return TrainingSetup(perceive, dataset, maps, config, chosen, resolve(config.precision, device))
