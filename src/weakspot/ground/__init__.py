"""Twins: states of the environment itself that stand for synthesised states."""
