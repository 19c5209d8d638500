"""Settings of all tests: annotated shapes and types are checked at every call, one thread each, and no deadlines on
machines that are busy with something else."""

import hypothesis
import torch
from jaxtyping import install_import_hook

COMPUTING = ("dataset", "observation", "saliency", "state_model", "synthesis", "analysis", "envs", "report")
"""The rooms in which tensors are only ever ours.  Agents, targets and training take what users give them, and say
themselves what is wrong with it."""

install_import_hook([f"weakspot.{room}" for room in COMPUTING], "typechecker.checked")  # before they are imported

hypothesis.settings.register_profile("weakspot", deadline=None, max_examples=50)
hypothesis.settings.load_profile("weakspot")
torch.set_num_threads(1)
