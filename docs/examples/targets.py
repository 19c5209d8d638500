"""Targets of one's own: functions of what the agent answers, one number a state, of which the smallest are looked for."""

import torch


def unsure(output):
    """The policy hardly prefers one action to another: minus its entropy, in nats."""
    log_probabilities = torch.log_softmax(output.scores, dim=1)
    return (log_probabilities.exp() * log_probabilities).sum(dim=1)


def hopeful_but_unsure(output):
    """The critic expects much, and no action stands out: minus value times entropy, where the value is above 0."""
    return output.value.clamp(min=0) * unsure(output)
