"""A target: states in which the agent prefers no action."""


def unsure(output):
    """No action is better than the other."""
    return (output.scores[:, 0] - output.scores[:, 1]).abs()
