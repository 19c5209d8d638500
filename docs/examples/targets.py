"""Custom targets: functions from the agent's output to one energy per state; smaller energies are better."""

import torch


def unsure(output):
    """The policy hardly prefers any action: its negative entropy, in nats."""
    log_probabilities = torch.log_softmax(output.scores, dim=1)
    return (log_probabilities.exp() * log_probabilities).sum(dim=1)


def hopeful_but_unsure(output):
    """The critic expects much, but the policy prefers no action: minus entropy times value, if the value is positive."""
    return output.value.clamp(min=0) * unsure(output)
