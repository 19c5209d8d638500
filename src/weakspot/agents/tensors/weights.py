"""Reads weights from files without running any code in them; errors say what is wrong with the file."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeAlias, cast

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from weakspot.agents.listing import join_names
from weakspot.agents.tensors.pickled import (
    DEPTH,
    MAX_TENSORS,
    check_not_compressed,
    read_pickled,
    refused,
    tensors_as_float32,
)
from weakspot.agents.tensors.state_dicts import unwrap
from weakspot.errors import WeightsError

Keys: TypeAlias = tuple[str, ...]
"""Names of nested dicts, from the outermost."""


class SafetensorsFile(Protocol):
    """An open file of safetensors, whose own types are incomplete."""

    def metadata(self) -> dict[str, str] | None: ...

    def keys(self) -> Iterable[str]: ...

    def get_tensor(self, name: str) -> Tensor: ...


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Reads all tensors of a safetensors file, floating point ones as float32, and its metadata.

    Raises:
        WeightsError: the file does not exist, is truncated, or is not a safetensors file.
    """
    if not path.is_file():
        raise WeightsError(
            f"no weights at {path}" if not path.exists() else f"{path} is a folder",
            expected="a safetensors file",
            todo="check the path",
        )
    try:
        with cast(AbstractContextManager[SafetensorsFile], safe_open(path, framework="pt")) as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{path} cannot be read as safetensors: {error} ({path.stat().st_size:,} bytes)",
            expected="a complete safetensors file",
            todo="fetch or export it again; it may be truncated",
        ) from error
    return {name: _as_float32(tensor) for name, tensor in tensors.items()}, metadata


def read_tensors(content: bytes, source: str) -> dict[str, Any]:
    """Reads the dict in a file of ``torch.save``, if it holds nothing but tensors, numbers, strings and dicts of these.

    Args:
        content: of the file.
        source: path of the file, for error messages.

    Returns:
        The dict; floating point tensors are converted to float32.

    Raises:
        WeightsError: the file is damaged, does not hold a dict, or holds other objects, whose loading could run any code.
    """
    try:
        check_not_compressed(content)
        loaded: object = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{source} holds more than tensors, and loading the rest could run any code, so it is not read: "
            f"{str(error).splitlines()[0]}",
            expected="a state dict saved with torch.save",
            todo="save network.state_dict() alone, or load the file in your own function: path.py:factory",
        ) from error
    except Exception as error:  # damaged files fail in many ways
        raise WeightsError(
            f"{source} cannot be read: {str(error).splitlines()[0] if str(error) else type(error).__name__} "
            f"({len(content):,} bytes)",
            expected="a complete file of torch.save",
            todo="fetch or save it again; it may be truncated",
        ) from error
    if not isinstance(loaded, Mapping):
        raise WeightsError(
            f"{source} holds a {type(loaded).__name__}",
            expected="a state dict",
            todo="save network.state_dict(), or load the file in your own function: path.py:factory",
        )
    content_of = _flat(cast(Mapping[object, object], loaded), source)
    tensors = {".".join(keys): value for keys, value in content_of.items() if isinstance(value, Tensor)}
    converted = tensors_as_float32(tensors, len(content), source)
    return _nested({keys: converted.get(".".join(keys), value) for keys, value in content_of.items()})


def read_torch_file(path: Path) -> dict[str, Any]:
    """Reads the tensors of a file of ``torch.save``: of a state dict, possibly inside a dict with other entries, or of a
    network that was pickled whole.  Prefixes of ``torch.compile`` and data parallelism are removed from the names.

    Raises:
        WeightsError: as :func:`read_tensors` and :func:`~weakspot.agents.tensors.pickled.read_pickled`.
    """
    content = path.read_bytes()
    try:
        return unwrap(read_tensors(content, str(path)))
    except WeightsError:
        return read_pickled(content, str(path))


def load_into(module: nn.Module, weights: Mapping[str, Any], source: str) -> None:
    """Loads weights into a module, which must have exactly these parameters and buffers.

    Args:
        module: the network.
        weights: tensors by name.
        source: path of the file they were read from, for error messages.

    Raises:
        WeightsError: tensors are missing or unexpected, a shape differs, or a number is not finite.
    """
    if others := [name for name, value in weights.items() if not isinstance(value, Tensor)]:
        raise WeightsError(
            f"{source} holds more than tensors: {join_names(others)}",
            expected="a state dict",
            todo="save network.state_dict() alone",
        )
    check_shapes(module, weights, source)
    for name, tensor in weights.items():
        if not torch.isfinite(tensor).all():
            raise WeightsError(
                f"tensor {name!r} in {source} holds numbers that are not finite",
                expected="finite weights",
                todo="export the agent again from a training that did not diverge",
            )
    module.load_state_dict(dict(weights))


def build_for(build: Callable[[], nn.Module], weights: Mapping[str, Tensor], source: str) -> nn.Module:
    """Builds a network and loads weights into it; its memory is taken only once the shapes are known to fit the weights.

    Args:
        build: makes the network, of a size that a file may have given.
        weights: tensors by name.
        source: path of the file they were read from, for error messages.

    Raises:
        WeightsError: see :func:`load_into`.
    """
    with preserve_random_state():
        with torch.device("meta"):  # shapes alone
            check_shapes(build(), weights, source)
        network = build()
    load_into(network, weights, source)
    return network


def check_shapes(module: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Raises :class:`WeightsError` unless the names and shapes of the weights are those of the module."""
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if expected != shapes:
        raise WeightsError(
            f"the weights in {source} belong to another network: {_difference(expected, shapes)}",
            expected=f"the tensors {join_names(f'{name} {shape}' for name, shape in expected.items())}",
            todo="check that this is the right file",
        )


@contextmanager
def preserve_random_state() -> Generator[None]:
    """Restores torch's global random generator at the end: networks built inside draw initial weights that are about to be
    replaced."""
    with torch.random.fork_rng(devices=[]):  # pyright: ignore[reportUnknownMemberType] (torch leaves it without types)
        yield


def _difference(expected: Mapping[str, tuple[int, ...]], shapes: Mapping[str, tuple[int, ...]]) -> str:
    parts: list[str] = []
    if missing := sorted(expected.keys() - shapes.keys()):
        parts.append(f"missing {join_names(missing)}")
    if unexpected := sorted(shapes.keys() - expected.keys()):
        parts.append(f"unexpected {join_names(unexpected)}")
    parts += [
        f"{name} has shape {shapes[name]}, not {expected[name]}"
        for name in sorted(expected.keys() & shapes.keys())
        if expected[name] != shapes[name]
    ]
    return "; ".join(parts)


def _flat(content: Mapping[object, object], source: str) -> dict[Keys, object]:
    """The values in nested dicts by their paths; raises :class:`WeightsError` if there are too many.

    A file can name one dict in many places, even inside itself.
    """
    flat: dict[Keys, object] = {}
    pending: list[tuple[Keys, object]] = [((), content)]
    for _ in range(MAX_TENSORS):
        if not pending:
            return flat
        path, value = pending.pop()
        if isinstance(value, Mapping) and len(path) < DEPTH:
            entries = cast(Mapping[object, object], value)
            pending += [((*path, str(name)), part) for name, part in islice(entries.items(), MAX_TENSORS)][::-1]
            if not entries:
                flat[path] = {}
        else:
            flat[path] = value
    raise refused(source, f"it has more than {MAX_TENSORS:,} entries, or contains itself")


def _nested(flat: Mapping[Keys, object]) -> dict[str, Any]:
    """The inverse of :func:`_flat`."""
    content: dict[str, Any] = {}
    for path, value in flat.items():
        if not path:
            continue
        place = content
        for name in path[:-1]:
            place = place.setdefault(name, {})
        place[path[-1]] = value
    return content


def _as_float32(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor
