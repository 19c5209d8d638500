"""State dicts inside other dicts, and names with the prefixes of wrappers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from torch import Tensor

T = TypeVar("T")

COMPILED = "_orig_mod"
"""The attribute in which ``torch.compile`` keeps the network that it wraps."""
PARALLEL = "module."
"""What ``DataParallel`` and ``DistributedDataParallel`` put in front of all names."""
NETWORKS = (
    "model_state_dict", "state_dict", "model", "model_weights", "network", "net", "policy", "policy_state_dict",
    "actor_critic", "agent", "agent_state_dict", "q_network", "q_net", "online_net", "weights", "params",
)  # fmt: skip
"""Keys under which training scripts save the network that acts, the usual ones first."""


def strip_prefixes(weights: Mapping[str, T]) -> dict[str, T]:
    """Removes what ``torch.compile`` and data parallelism add to the names of tensors: ``_orig_mod.`` anywhere in a name,
    and ``module.`` in front of all names."""
    names = {name: ".".join(part for part in name.split(".") if part != COMPILED) for name in weights}
    while names and all(short.startswith(PARALLEL) for short in names.values()):
        names = {name: short.removeprefix(PARALLEL) for name, short in names.items()}
    if len(set(names.values())) < len(names):  # two tensors would get the same name
        return dict(weights)
    return {names[name]: value for name, value in weights.items()}


def unwrap(content: Mapping[str, Any]) -> dict[str, Any]:
    """The state dict in a dict such as ``{"model_state_dict": ..., "epoch": ...}``.

    Returns:
        The dict itself if it has tensors of its own; else the state dict under the first of :data:`NETWORKS`, or the only
        one in the dict; without the prefixes of wrappers.  The dict itself if there is no such state dict.
    """
    if any(isinstance(value, Tensor) for value in content.values()):
        return strip_prefixes(content)
    inner = {name: part for name, value in content.items() if (part := _inner(value))}
    named = next((inner[name] for name in NETWORKS if name in inner), None)
    only = next(iter(inner.values())) if len(inner) == 1 else None
    return named or only or dict(content)


def _inner(value: object) -> dict[str, Any]:
    """The state dict that a value of a dict is or wraps; empty if it is none."""
    if not isinstance(value, Mapping):
        return {}
    found = unwrap({str(name): part for name, part in cast(Mapping[object, Any], value).items()})
    return found if any(isinstance(part, Tensor) for part in found.values()) else {}
