"""Sweeps: many agents, runs and seeds as jobs over one store, on this machine, a Ray cluster or Slurm."""
