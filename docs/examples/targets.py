"""Your own targets: functions from the agent's output to one energy per state; states with low energies are searched for."""

import torch


def unsure(output):
    """The policy hardly prefers any action: its negative entropy, in nats."""
    log_probabilities = torch.log_softmax(output.scores, dim=1)
    return (log_probabilities.exp() * log_probabilities).sum(dim=1)


def hopeful_but_unsure(output):
    """The critic predicts a high value, and no action stands out: minus value times entropy, for values above 0."""
    return output.value.clamp(min=0) * unsure(output)
