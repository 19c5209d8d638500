"""Benchmarks; ``make bench`` runs those of speed and recall."""
