"""Reads the tensors of a network that was pickled whole, without its classes and without running any code in the file.

``torch.save(network)`` writes a pickle that names classes and functions to be called.  Here only the functions that rebuild
tensors are called.  Every other object becomes a :class:`Placeholder`, which stores the attributes that the pickle would
set, among them the parameters and submodules of an ``nn.Module``.
"""

from __future__ import annotations

import io
import pickle
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import IO, Any, cast

import torch
import torch._utils
from torch import Tensor, serialization

from weakspot.errors import WeightsError

TORCH_SERIALIZATION: Any = serialization
"""Some of its functions are private and have no types."""


class AllowedFunction:
    """A function that a pickle may call but not modify: a pickle can set attributes of every object it gets hold of."""

    __slots__ = ("_function",)

    _function: Callable[..., Any]

    def __init__(self, function: Callable[..., Any]) -> None:
        object.__setattr__(self, "_function", function)

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setattr__(self, name: str, value: object) -> None:
        raise pickle.UnpicklingError(f"the pickle tries to change {name}")

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("the pickle tries to change a function")


ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    **{
        ("torch._utils", name): AllowedFunction(getattr(torch._utils, name))
        for name in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter")
    },
}
"""The only functions and classes that a pickle may call, by module and name."""


class Placeholder:
    """Stands in for an object whose class is not imported.

    Attributes:
        arguments: the arguments that the pickle passes to the class.
        state: the attributes that the pickle sets.
    """

    dump_patches = False  # torch.load reads it
    arguments: tuple[Any, ...] = ()
    state: Any = None

    def __new__(cls, *arguments: object, **named: object) -> Placeholder:
        placeholder = object.__new__(cls)
        placeholder.arguments = arguments
        return placeholder

    def __init__(self, *arguments: object, **named: object) -> None:
        pass

    def __call__(self, *arguments: object, **named: object) -> Placeholder:
        return Placeholder()

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def append(self, value: object) -> None:
        pass

    def extend(self, values: object) -> None:
        pass


class TensorUnpickler(pickle.Unpickler):
    """Makes placeholders of all objects but tensors and plain containers."""

    def find_class(self, module: str, name: str) -> Any:
        return ALLOWED.get((module, name)) or type(name, (Placeholder,), {})


class PickleModule:
    """What ``torch.load`` uses of the module ``pickle``, with :class:`TensorUnpickler`."""

    Unpickler = TensorUnpickler

    @staticmethod
    def load(file: IO[bytes], **settings: Any) -> Any:
        return TensorUnpickler(file, **settings).load()


def read_pickled(content: bytes, source: str) -> dict[str, Tensor]:
    """Reads the parameters and buffers of the first network in a file of ``torch.save``.

    Args:
        content: of the file.
        source: path of the file, for error messages.

    Returns:
        The tensors by name; floating point ones are converted to float32.

    Raises:
        WeightsError: the file is damaged, is a TorchScript archive (which is code), or holds no network.
    """
    if is_script(content):
        raise WeightsError(
            f"{source} is a TorchScript archive, which is code; it is not run",
            expected="a network or a state dict saved with torch.save",
            todo="pass --trust if you trust its author",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns that it cannot find the source code of placeholders
            loaded: object = torch.load(
                io.BytesIO(content), map_location="cpu", pickle_module=PickleModule, weights_only=False
            )
    except Exception as error:  # a pickle can do anything with a placeholder
        raise WeightsError(
            f"{source} cannot be read: {type(error).__name__} {str(error).splitlines()[0] if str(error) else ''} "
            f"({len(content):,} bytes)",
            expected="a complete file of torch.save",
            todo="fetch it again, or load it in your own function: path.py:factory",
        ) from error
    candidates = cast(Sequence[object], loaded) if isinstance(loaded, Sequence) else [loaded]
    for candidate in candidates:
        if tensors := dict(_tensors(candidate, "")):
            return tensors
    raise WeightsError(
        f"{source} holds no network",
        expected="an nn.Module, or a list that begins with one, saved with torch.save",
        todo="load it in your own function: path.py:factory",
    )


def is_script(content: bytes) -> bool:
    """Whether ``torch.load`` would pass a file on to ``torch.jit.load``, which runs its code.

    Torch itself decides: zip readers disagree about which files are zip archives.
    """
    file = io.BytesIO(content)
    if not TORCH_SERIALIZATION._is_zipfile(file):
        return False
    try:
        with TORCH_SERIALIZATION._open_zipfile_reader(file) as archive:
            return TORCH_SERIALIZATION._is_torchscript_zip(archive)
    except RuntimeError:  # damaged: torch.load cannot open it either
        return False


def _tensors(module: object, prefix: str) -> Iterator[tuple[str, Tensor]]:
    """The parameters and buffers of the placeholder of a module, and of its submodules, with their names."""
    state: object = module.state if isinstance(module, Placeholder) else None
    if not isinstance(state, Mapping):
        return
    attributes = cast(Mapping[str, object], state)
    for kind in ("_parameters", "_buffers"):
        for name, tensor in _entries(attributes, kind):
            if isinstance(tensor, Tensor):
                yield f"{prefix}{name}", tensor.detach().float() if tensor.is_floating_point() else tensor
    for name, submodule in _entries(attributes, "_modules"):
        yield from _tensors(submodule, f"{prefix}{name}.")


def _entries(attributes: Mapping[str, object], kind: str) -> Iterable[tuple[str, object]]:
    entries = attributes.get(kind)
    return cast(Mapping[str, object], entries).items() if isinstance(entries, Mapping) else ()
