"""Settings of all tests: annotated shapes and types are checked at every call, one thread each, and no deadlines on
machines that are busy with something else."""

import hypothesis
import numpy as np
import pytest
import torch
from jaxtyping import install_import_hook

COMPUTING = ("dataset", "observation", "saliency", "state_model", "starts", "synthesis", "analysis", "envs", "report")
"""The rooms in which tensors are only ever ours.  Agents, targets and training take what users give them, and say
themselves what is wrong with it."""

install_import_hook([f"weakspot.{room}" for room in COMPUTING], "typechecker.checked")  # before they are imported

hypothesis.settings.register_profile("weakspot", deadline=None, max_examples=50)
hypothesis.settings.load_profile("weakspot")
torch.set_num_threads(1)


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """States of a game of Pong, the agent that played it, and its saliency maps."""
    from small_pong import play  # after the hook above

    return play(tmp_path_factory.mktemp("played"))


@pytest.fixture(scope="module")
def statistics(played):
    """What is known of these states before a training."""
    from weakspot.state_model.batch import measure  # after the hook above

    dataset, _, _ = played
    return measure(dataset, np.arange(len(dataset)), np.random.default_rng(0))
