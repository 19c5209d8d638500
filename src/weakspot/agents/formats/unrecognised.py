"""What is wrong with a reference that no agent format recognises."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from weakspot.agents import zoo
from weakspot.agents.build import USE_FACTORY
from weakspot.agents.formats.actor_critic import original_names
from weakspot.agents.formats.foreign import raise_if_foreign_suffix
from weakspot.agents.formats.suffixes import CLEANRL, EXPORTED, ONNX, PICKLED, SAFETENSORS, TORCH_SAVED
from weakspot.agents.listing import join_names
from weakspot.agents.tensors.weights import read_torch_file, read_weights
from weakspot.errors import AgentError, WeightsError

WEIGHT_FILES = (SAFETENSORS, ".zip of stable-baselines3", CLEANRL, ONNX, *sorted(TORCH_SAVED))
"""The files that may be named, for error messages."""


def raise_unrecognised(reference: str) -> NoReturn:
    """Raises the error that says why a reference names no agent, without running any code in the file.

    Raises:
        AgentError: a Python file without the name of a function.
        WeightsError: everything else.
    """
    path = Path(reference).expanduser()
    suffix = path.suffix.lower()
    if suffix in PICKLED:
        raise WeightsError(
            f"{reference} is a pickle; loading it could run any code, so it is not read",
            expected="a .safetensors file, or path.py:factory",
            todo="convert its state dict once with safetensors.torch.save_file(state_dict, 'agent.safetensors'), "
            "or write a factory that loads it: path.py:factory",
        )
    if suffix == EXPORTED and path.is_file():
        raise WeightsError(
            f"{reference} is an archive of torch.export, which is code; it is not run",
            expected="a file of weights",
            todo="pass --trust if you trust its author",
        )
    if suffix == ".py":
        raise AgentError(
            f"{reference} does not say which function returns the agent",
            expected="path.py:factory",
            todo=f"write {reference}:NAME with the name of a function in it",
        )
    if not path.is_file():
        _raise_missing(reference, path)
    _raise_unknown_content(path)


def _raise_missing(reference: str, path: Path) -> NoReturn:
    if not path.suffix and path.name == reference and not path.exists():
        zoo.path(reference)  # raises an error that suggests similar names
    raise WeightsError(
        f"{path} is a folder, and not one of a training with RL Zoo" if path.exists() else f"no agent at {path}",
        expected=f"a file of weights ({', '.join(WEIGHT_FILES)}), the folder of a training with RL Zoo, or path.py:factory"
        + _of_packages(),
        todo="check the path",
    )


def _of_packages() -> str:
    """In words, the formats of other packages that are installed."""
    from weakspot.agents.formats.registry import FORMATS

    others = [name for name in FORMATS.names() if FORMATS.provider(name)]
    return f", or what an installed package reads: {', '.join(others)}" if others else ""


def _raise_unknown_content(path: Path) -> NoReturn:
    """Raises the error for a file that can be read but holds another network, or that cannot be read."""
    raise_if_foreign_suffix(path)
    suffix = path.suffix.lower()
    is_torch_file = suffix in TORCH_SAVED
    if not is_torch_file and suffix != SAFETENSORS:
        raise WeightsError(
            f"{path} has the suffix {suffix or 'none'}, which is not that of a known kind of file",
            expected=", ".join(WEIGHT_FILES) + _of_packages(),
            todo="rename it if it is one of these, or install the package that reads it; otherwise " + USE_FACTORY,
        )
    weights = read_torch_file(path) if is_torch_file else read_weights(path)[0]
    hint = ", or pass --trust if the file holds a whole network and you trust its author" if is_torch_file else ""
    raise WeightsError(
        f"{path} holds no known agent; its tensors are {join_names(original_names(weights))}",
        expected="a file exported by weakspot (with a card in its metadata), or an actor-critic state dict "
        "(conv1, conv2, conv3, linear1, actor_linear, critic_linear)",
        todo=USE_FACTORY + hint,
    )
