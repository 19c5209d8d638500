"""Settings of all tests: one thread each, and no deadlines on machines that are busy with something else."""

import hypothesis
import torch

hypothesis.settings.register_profile("weakspot", deadline=None, max_examples=50)
hypothesis.settings.load_profile("weakspot")
torch.set_num_threads(1)
