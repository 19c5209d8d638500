"""The recipes by name, without importing them; keys of results need no more."""

from __future__ import annotations

from weakspot.system.registry import Registry

REGISTRY: Registry[object] = Registry(
    "weakspot.recipes",
    {
        "fast": "weakspot.state_model.fast:FAST",
        "fast-gaussian": "weakspot.state_model.fast:FAST_GAUSSIAN",
        "paper": "weakspot.state_model.paper:PAPER",
        "paper-attentive": "weakspot.state_model.paper:PAPER_ATTENTIVE",
        "paper-vae": "weakspot.state_model.paper:PAPER_VAE",
    },
)
"""All recipes. ``fast`` is the default, ``fast-gaussian`` the same without the flow; ``paper`` is section 4.1, and the last
two are its ablations (table 1: L_p only, VAE). Each is a :class:`weakspot.state_model.recipes.Recipe`."""
