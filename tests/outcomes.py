"""Outcomes of rollouts as users write them."""


def total(rollout):
    """The sum of rewards."""
    return rollout.total
