"""States that an experiment found are kept until it has ended: one that was broken off does not search for them again.

They lie beside the state models, in ``found/`` of the experiment's ``--folder``, and are deleted when all is done.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

from benchmarks.recall import in_turn
from lab.prepared import Given, Prepared, made_of
from weakspot.agents.base import AgentOutput
from weakspot.agents.tensors.weights import read_weights
from weakspot.errors import WeightsError
from weakspot.search.method import Cost, Found, Method, Sources
from weakspot.system.files import write_atomic
from weakspot.system.progress import say
from weakspot.system.provenance import digest, file_digest
from weakspot.system.user_code import parse_reference


@dataclass(frozen=True)
class Searches:
    """Finds states, or takes those that were found before the experiment was broken off.

    Attributes:
        there: the agent and its rollouts.
        sources: what methods may work with.
        seed: of all searches.
        folder: where found states lie meanwhile.
    """

    there: Prepared
    sources: Sources
    seed: int
    folder: Path

    def __call__(self, method: Method, target: str, count: int) -> Found:
        """``count`` states of a method for the target of that name; see :class:`weakspot.search.method.Method`."""
        written = (
            file_digest(of_user[0]) if (of_user := parse_reference(target)) else ""
        )  # what the file of the user's target says now
        path = self.folder / f"{digest(repr(method), target, written, count)}.safetensors"
        known = _read(path, self.there.subject.agent.device)
        if known is not None:
            say(f"{target}, {method.name}: {count} states were found before")
            return known
        found = method(self.sources, self.there.target(target), count, self.seed)
        write_atomic(path, lambda temporary: _save(found, temporary))
        return found


@contextmanager
def searches(name: str, given: Given, there: Prepared, sources: Sources) -> Iterator[Searches]:
    """The searches of the experiment ``name``; what they found is deleted when it has ended without an error.

    Who runs the same experiment with the same settings meanwhile waits, and has searches of their own.
    """
    place = f"{name}-{digest(made_of(given, there), sources.model.info['made_of'])}"
    folder = given.folder / "found" / place
    with in_turn(folder):
        yield Searches(there, sources, given.seed, folder)
        for path in folder.glob("*.safetensors"):
            path.unlink()


def _save(found: Found, path: Path) -> None:
    tensors = {
        "state": found.state, "target": found.target, "scores": found.output.scores, "value": found.output.value,
        "index": None if found.index is None else torch.from_numpy(found.index),
    }  # fmt: skip
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items() if tensor is not None}
    save_file(kept, path, metadata={"cost": json.dumps(asdict(found.cost))})


def _read(path: Path, device: torch.device) -> Found | None:
    """What was found; None where nothing was, or the file is damaged."""
    if not path.exists():
        return None
    try:
        tensors, metadata = read_weights(path)
    except WeightsError:
        return None
    tensors = {name: tensor.to(device) for name, tensor in tensors.items()}
    index = tensors["index"].cpu().numpy() if "index" in tensors else None
    output = AgentOutput(tensors["scores"], tensors.get("value"))
    return Found(tensors["state"], output, tensors["target"], Cost(**json.loads(metadata["cost"])), index)
