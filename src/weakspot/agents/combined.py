"""Policies whose actions have several parts, each with its own choices, such as ``MultiDiscrete`` of gymnasium.

Such a policy draws each part on its own: the probability of an action is the product of those of its parts.  So an action is
a combination of choices, whose log-probability is

    log pi(a_1, ..., a_m | s) = sum_i log pi_i(a_i | s)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional


class CombinedPolicy(nn.Module):
    """Turns the logits of the choices into the log-probabilities of all combinations.

    Args:
        network: maps observations, and entries if it takes some, to a pair: logits and values.  Logits are
            (b, n_1 + ... + n_m), those of one part after the other; or (b, m) if all parts are bits (``MultiBinary``),
            those of the bits being 1.
        parts: n_1, ..., n_m, the number of choices of each part.
    """

    def __init__(self, network: nn.Module, parts: Sequence[int]) -> None:
        super().__init__()
        self.network, self.parts = network, tuple(parts)
        self.other_entries: tuple[str, ...] = getattr(network, "other_entries", ())

    def forward(self, observation: Tensor, *entries: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        logits, value = self.network(observation, *entries)
        return combined_log_probabilities(logits, self.parts), value


def combined_log_probabilities(logits: Tensor, parts: Sequence[int]) -> Tensor:
    """Log-probabilities (b, n_1 n_2 ... n_m) of all combinations, the choice of the last part changing fastest.

    Args:
        logits: (b, n_1 + ... + n_m), or (b, m) of bits.
        parts: n_1, ..., n_m.
    """
    if logits.shape[1] < sum(parts):  # bits
        logits = torch.stack([torch.zeros_like(logits), logits], dim=2).flatten(1)
    combined = logits.new_zeros((len(logits), 1))
    for part in torch.split(logits, list(parts), dim=1):
        combined = (combined[:, :, None] + functional.log_softmax(part, dim=1)[:, None, :]).flatten(1)
    return combined


def is_combined(result: object, parts: Sequence[int]) -> bool:
    """Whether a network returned the logits of all choices, and values, for actions with these parts."""
    if not isinstance(result, list | tuple):
        return False
    outputs = cast(Sequence[Any], result)
    is_pair = len(outputs) == 2 and all(isinstance(output, Tensor) for output in outputs)
    widths = {sum(parts)} | ({len(parts)} if set(parts) == {2} else set[int]())
    return is_pair and outputs[0].dim() == 2 and outputs[0].shape[1] in widths
