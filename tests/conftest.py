"""Settings of all tests: annotated shapes and types are checked at every call, one thread each, and no deadlines on
machines that are busy with something else."""

import hypothesis
import numpy as np
import pytest
import torch
from jaxtyping import install_import_hook

COMPUTING = ("data", "saliency", "state_model", "search", "analysis", "envs", "report")
"""The packages in which tensors are only ever ours. Agents, targets and training take what users give them, and raise their
own errors for it."""

install_import_hook([f"weakspot.{package}" for package in COMPUTING], "typechecker.checked")  # before they are imported

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


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory):
    """The folder of a finished run with a tiny budget; tests that change it work on a copy."""
    from tiny_run import TINY  # after the hook above

    from weakspot.cli import main

    folder = tmp_path_factory.mktemp("finished") / "pong"
    assert main(["run", *TINY, "--output", str(folder)]) == 0
    return folder
