"""Searches whose results are in the store of the runs: a finished search is not repeated.

No run folder shows these results, so that ``weakspot clean --store FOLDER/store`` deletes them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from lab.states import search_sources, target_named
from weakspot.agents.base import AgentOutput
from weakspot.agents.tensors.weights import read_weights
from weakspot.references import code_digests
from weakspot.run.entry import read_entry
from weakspot.run.store import Request, Store
from weakspot.search.method import Cost, Method, SearchResult
from weakspot.session import SURPLUS, Session
from weakspot.state_model.model import separate
from weakspot.system.files import write_atomic
from weakspot.system.progress import say
from weakspot.system.provenance import file_digest, public_version, source_digest
from weakspot.targets.base import Target
from weakspot.targets.names import OVERCONFIDENCE

STATES = "found.safetensors"
INPUTS = ("subject", "collect", "train")
"""Stages whose results a search depends on."""


def find_states(session: Session, method: Method, target: str, count: int, seed: int) -> SearchResult:
    """``count`` states that a method finds for the target of that name; loaded from the store if they are there.

    Args:
        session: with a state model.
        method: see :class:`weakspot.search.method.Method`; its ``repr`` must hold all its settings.
        target: name of the target.
        count: number of states.
        seed: of the search.
    """
    resolved = target_named(session, target)
    return cached_search(
        session, resolved, {"method": repr(method), "code": code_digests([target]), "count": count, "seed": seed},
        lambda: method(search_sources(session), resolved, count, seed),
    )  # fmt: skip


def cached_search(
    session: Session, target: Target, settings: Mapping[str, Any], search: Callable[[], SearchResult]
) -> SearchResult:
    """The result of a search for a target; loaded from the store if it is there.

    Args:
        session: with a state model.
        target: of the search.
        settings: everything that the result depends on, apart from the target and the results of the session.
        search: the search.
    """
    inputs = (*INPUTS, SURPLUS) if target.slug == OVERCONFIDENCE else INPUTS
    made_from = {
        "target": target.slug,
        "settings": dict(settings),
        "split": session.config.train.held_out,
        "sharpness": session.config.sharpness,
        "inputs": {name: _fingerprint(session.results[name]) for name in inputs},
        "torch": public_version("torch"),
        "sources": source_digest("search", "targets", "analysis"),
    }
    request, store = Request("found", target.slug, made_from, (STATES,)), Store(session.config.store_path)

    def work(folder: Path) -> str:
        result = search()
        write_atomic(folder / STATES, lambda temporary: _save(result, temporary))
        return file_digest(folder / STATES)

    entry = store.find(request)
    if entry is not None and (problem := entry.changed()):
        store.discard(entry, problem)
        entry = None
    if entry is None:
        entry, _ = store.make(request, work)
    else:
        say(f"{target.name}: using the states in the store")
    return _read(entry.folder / STATES, session.subject.agent.device)


def _fingerprint(folder: Path) -> str:
    entry = read_entry(folder)
    assert entry is not None, f"{folder} is the result of a finished stage"
    return entry.record.fingerprint


def _save(result: SearchResult, path: Path) -> None:
    tensors = {
        "state": result.state, "target": result.target, "scores": result.output.scores, "value": result.output.value,
        "surplus": result.output.surplus, "index": None if result.index is None else torch.from_numpy(result.index),
    }  # fmt: skip
    present = {name: separate(tensor) for name, tensor in tensors.items() if tensor is not None}
    save_file(present, path, metadata={"cost": json.dumps(asdict(result.cost))})


def _read(path: Path, device: torch.device) -> SearchResult:
    tensors, metadata = read_weights(path)
    tensors = {name: tensor.to(device, copy=True) for name, tensor in tensors.items()}  # not mapped to the file
    index = tensors["index"].cpu().numpy() if "index" in tensors else None
    output = AgentOutput(tensors["scores"], tensors.get("value"), tensors.get("surplus"))
    return SearchResult(tensors["state"], output, tensors["target"], Cost(**json.loads(metadata["cost"])), index)
