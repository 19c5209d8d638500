"""Damage, crashes and hostile files, and what a run makes of them; see ``benchmarks.reliability``."""
