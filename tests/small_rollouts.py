"""Two rollouts of the linear toy agent: random states, and the agent's outputs for them."""

import tempfile
from dataclasses import asdict
from functools import cache
from pathlib import Path

import numpy as np
import torch
from toys import linear_model, linear_perceiver

from weakspot.data.dataset import StateDataset, as_state, recorded_outputs
from weakspot.data.shards import FORMAT, VERSION, ShardContent, write_shard
from weakspot.search.method import Sources
from weakspot.system.files import write_json

STREAMS, STEPS, FRAMES = 2, 120, 4
LINEAR = linear_perceiver()


def sources(perceive=LINEAR) -> Sources:
    dataset = StateDataset.open(rollouts())
    indices = np.arange(len(dataset))
    indices = indices[dataset.age[indices] >= FRAMES]
    edits = Repainted(dataset, indices)
    return Sources(perceive, dataset, indices, recorded_outputs(dataset, indices), linear_model(), edits)


class Repainted:
    """A search among states whose newest frame is another one of the rollouts."""

    def __init__(self, dataset: StateDataset, starts: np.ndarray) -> None:
        self.dataset, self.starts, self.steps = dataset, starts, 0

    def __call__(self, start, score, trials, generator):
        stacks = self.dataset.stacks(np.full(trials, start))
        stacks[:, -1] = self.dataset.newest(generator.choice(self.starts, trials))
        self.steps += trials
        return stacks[score(stacks).argmin()]


@cache
def _temporary_folder() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="rollouts-")


@cache
def rollouts() -> Path:
    """The folder of the rollouts, written once."""
    folder = Path(_temporary_folder().name)
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (STREAMS, STEPS, 4, 4, 3)).astype(np.uint8)
    stacks = np.stack([frames[:, np.maximum(np.arange(STEPS) - back, 0)] for back in range(FRAMES)[::-1]], axis=2)
    outputs = LINEAR(as_state(stacks.reshape(-1, FRAMES, 4, 4, 3)))
    actions = list(LINEAR.agent.spec.action_names)
    write_json(
        folder / "meta.json",
        {
            "format": FORMAT,
            "version": VERSION,
            "environment": {
                "id": "toy",
                "action_names": actions,
                "frames": FRAMES,
                "height": 4,
                "width": 4,
                "channels": 3,
                "preprocessing": {},
            },
            "agent": asdict(LINEAR.agent.spec),
            "config": {},
            "streams": STREAMS,
            "steps": STEPS,
        },
    )
    never = np.zeros((STREAMS, STEPS), bool)
    columns = {
        "age": np.tile(np.arange(STEPS, dtype=np.int32), (STREAMS, 1)),
        "terminated": never,
        "truncated": never,
        "reward": np.zeros((STREAMS, STEPS), np.float32),
        "action": outputs.scores.argmax(dim=1).view(STREAMS, STEPS).numpy(),
        "scores": outputs.scores.view(STREAMS, STEPS, -1).numpy(),
        "value": torch.as_tensor(outputs.value).view(STREAMS, STEPS).numpy(),
    }
    write_shard(folder, 0, ShardContent(0, frames, columns, {}, [b""] * STREAMS, [0] * STREAMS, ""))
    return folder
