"""Actor-critics with an LSTM between features and heads: RecurrentPPO of sb3-contrib, and ppo_atari_lstm of CleanRL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import torch
from torch import Tensor, nn

from weakspot.agents.tensors.weights import load_into

State: TypeAlias = tuple[Tensor, ...]
"""Hidden and cell states, (b, layers, size) each."""


class Memory(nn.Module):
    """An LSTM that is advanced by one step: features (b, n) and (h, c), (b, layers, size) each, to the next ones.

    Args:
        inputs: n.
        size: numbers in each of h and c.
        layers: number of layers.
    """

    def __init__(self, inputs: int, size: int, layers: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(inputs, size, layers)

    def initial(self, batch: int) -> State:
        """Zeros."""
        device = next(self.lstm.parameters()).device
        shape = (batch, self.lstm.num_layers, self.lstm.hidden_size)
        return torch.zeros(shape, device=device), torch.zeros(shape, device=device)

    def forward(self, features: Tensor, state: State) -> tuple[Tensor, State]:
        hidden, cell = (part.transpose(0, 1).contiguous() for part in state)
        output, following = self.lstm(features[None], (hidden, cell))
        return output[0], tuple(part.transpose(0, 1) for part in following)


def memory_with(weights: Mapping[str, Tensor], source: str) -> Memory:
    """The LSTM with the tensors of an ``nn.LSTM``; its sizes are those of the tensors.

    Raises:
        WeightsError: they are not those of an LSTM.
    """
    first, inner = weights["weight_ih_l0"], weights["weight_hh_l0"]
    layers = len([name for name in weights if name.startswith("weight_hh_l")])
    memory = Memory(first.shape[1], inner.shape[1], layers)
    load_into(memory.lstm, weights, source)
    return memory


class RecurrentActorCritic(nn.Module):
    """Action logits, or means of continuous actions, (b, a), values (b, 1) and the next hidden state.

    Args:
        features: observations (b, c, h, w) to features, for the actor.
        critic_features: the same for the critic; None if it shares the actor's.
        memory: of the actor.
        critic_memory: of the critic; a linear layer with ReLU if it has none of its own, and None if it shares the actor's.
        actor: the actor's memory to logits or means.
        critic: the critic's to values.
        scale: observations are divided by it.
    """

    def __init__(
        self,
        features: nn.Module,
        critic_features: nn.Module | None,
        memory: Memory,
        critic_memory: nn.Module | None,
        actor: nn.Module,
        critic: nn.Module,
        scale: float,
    ) -> None:
        super().__init__()
        self.features, self.critic_features, self.memory, self.critic_memory = (
            features,
            critic_features,
            memory,
            critic_memory,
        )
        self.actor, self.critic, self.scale = actor, critic, scale

    def initial_hidden(self, batch: int) -> State:
        """Zeros, of the actor's memory and of the critic's."""
        own = self.memory.initial(batch)
        return (*own, *self.critic_memory.initial(batch)) if isinstance(self.critic_memory, Memory) else own

    def forward(self, observation: Tensor, hidden: State) -> tuple[Tensor, Tensor, State]:
        image = observation / self.scale
        features = self.features(image)
        latent, following = self.memory(features, hidden[:2])
        seen = self.critic_features(image) if self.critic_features else features
        if isinstance(self.critic_memory, Memory):
            judged, more = self.critic_memory(seen, hidden[2:])
            following = (*following, *more)
        else:
            judged = latent if self.critic_memory is None else self.critic_memory(seen)
        return self.actor(latent), self.critic(judged), following
