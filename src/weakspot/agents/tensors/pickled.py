"""Reads the tensors of a network that was pickled whole, without its classes and without running any code in the file.

``torch.save(network)`` writes a pickle that names classes and functions to be called.  Here only the functions that rebuild
tensors are called.  Every other object becomes a :class:`Placeholder`, which stores the arguments of its class and the
attributes that the pickle would set, among them the parameters and submodules of an ``nn.Module``.

Versions of torch differ in how they pickle a parameter or buffer: a call of a function that rebuilds it, a call of its class
with the tensor (up to 0.3), a state that begins with the tensor (up to 0.1), a call of the tensor's class with the storage.
:func:`tensor_in` reads all of them.
"""

from __future__ import annotations

import io
import pickle
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import IO, Any, cast

import torch
import torch._utils
from torch import Tensor, nn, serialization

from weakspot.agents.listing import join_names
from weakspot.agents.tensors.state_dicts import strip_prefixes, unwrap
from weakspot.errors import WeightsError

DEPTH, MAX_TENSORS = 20, 10_000
"""Modules inside each other, and tensors of a network: pickles can contain themselves, and name one object many times."""
WRAPPED, WRAPPED_PARTS = 3, 8
"""Objects around the tensor of a parameter, and parts of each that are looked at."""
LARGEST_RATIO, SPARE = 8, 1 << 20
"""The tensors of a file may take this many times its size, and these bytes in addition."""

TORCH_SERIALIZATION: Any = serialization
"""Some of its functions are private and have no types."""
REBUILD: Callable[..., Tensor] = getattr(torch._utils, "_rebuild_tensor")  # noqa: B009 (private)
"""Makes a tensor of a storage, an offset, a shape and strides."""


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


def _rebuild_subclass(function: object, kind: object, arguments: Sequence[Any], state: object) -> Any:
    """The tensor of a subclass, or one with attributes of its own, as a plain tensor: ``_rebuild_from_type_v2``."""
    if not isinstance(function, AllowedFunction):
        raise pickle.UnpicklingError("the pickle rebuilds a tensor with a function of its own")
    return function(*arguments)


ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "Size"): AllowedFunction(torch.Size),
    **{
        ("torch._utils", name): AllowedFunction(getattr(torch._utils, name))
        for name in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_parameter")
    },
    ("torch._tensor", "_rebuild_from_type_v2"): AllowedFunction(_rebuild_subclass),
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


PythonUnpickler: Any = pickle._Unpickler  # pyright: ignore  (the unpickler in C takes gigabytes for a table of nine bytes)


class TensorUnpickler(PythonUnpickler):
    """Makes placeholders of all objects but tensors and plain containers."""

    def load_bounded_bytearray8(self) -> None:
        """Reads a byte array, whose memory is only taken once its bytes were read; Python takes what the file announces."""
        size = int.from_bytes(self.read(8), "little")
        content = self.read(size)
        if len(content) < size:
            raise pickle.UnpicklingError(f"it announces a byte array of {size:,} bytes, and ends before")
        self.append(bytearray(content))

    dispatch: dict[int, Any] = {**PythonUnpickler.dispatch, pickle.BYTEARRAY8[0]: load_bounded_bytearray8}

    def find_class(self, module: str, name: str) -> Any:
        return ALLOWED.get((module, name)) or type(name, (Placeholder,), {})


class PickleModule:
    """What ``torch.load`` uses of the module ``pickle``, with :class:`TensorUnpickler`."""

    Unpickler = TensorUnpickler

    @staticmethod
    def load(file: IO[bytes], **settings: Any) -> Any:
        return TensorUnpickler(file, **settings).load()


def read_pickled(content: bytes, source: str) -> dict[str, Tensor]:
    """Reads the parameters and buffers of the first network or state dict in a file of ``torch.save``.

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
        check_not_compressed(content)
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
        if tensors := _tensors_of(candidate, Visits(source)):
            return strip_prefixes(tensors_as_float32(tensors, len(content), source))
    raise WeightsError(
        f"{source} holds {_describe(cast(object, loaded))}",
        expected="an nn.Module, or a list that begins with one, or a state dict, saved with torch.save",
        todo="load it in your own function: path.py:factory",
    )


def tensors_as_float32(tensors: Mapping[str, Tensor], size: int, source: str) -> dict[str, Tensor]:
    """The tensors, floating point ones as float32.

    Args:
        tensors: by name.
        size: of the file they come from, in bytes.
        source: path of the file, for error messages.

    Raises:
        WeightsError: a tensor is not made of numbers in memory, has more numbers than are stored for it, or all together
            are much larger than the file.
    """
    for name, tensor in tensors.items():
        if type(tensor) not in (Tensor, nn.Parameter) or tensor.layout != torch.strided or tensor.device.type != "cpu":
            raise refused(source, f"{name!r} is a {type(tensor).__name__} of layout {tensor.layout} on {tensor.device}")
        if tensor.is_quantized or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise refused(source, f"{name!r} of shape {tuple(tensor.shape)} has more numbers than are stored for it")
    if sum(tensor.numel() * max(tensor.element_size(), 4) for tensor in tensors.values()) > LARGEST_RATIO * size + SPARE:
        raise refused(source, f"its tensors are many times as large as the file of {size:,} bytes")
    converted = {name: tensor.detach() for name, tensor in tensors.items()}
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in converted.items()}


def refused(source: str, problem: str) -> WeightsError:
    """The error for a file that asks for more memory than it should."""
    return WeightsError(
        f"{source} cannot be read: {problem}",
        expected="dense tensors on the CPU, stored in full",
        todo="save network.state_dict() of the trained network, on the CPU",
    )


def check_not_compressed(content: bytes) -> None:
    """Raises :class:`zipfile.BadZipFile` if a file is a zip with compressed parts, which could take all memory;
    ``torch.save`` never compresses."""
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for part in archive.infolist():
            if part.compress_type != zipfile.ZIP_STORED or part.file_size > len(content):
                raise zipfile.BadZipFile(f"its part {part.filename!r} is compressed")


class Visits:
    """Counts what is looked at in a file, in which one object may be named in many places, even inside itself.

    Args:
        source: path of the file, for error messages.
    """

    def __init__(self, source: str) -> None:
        self._source, self._count = source, 0

    def add(self, depth: int) -> None:
        """Counts an object.

        Raises:
            WeightsError: there are too many, or they are too deep inside each other.
        """
        self._count += 1
        if self._count > MAX_TENSORS or depth > DEPTH:
            raise refused(self._source, f"it has more than {MAX_TENSORS:,} entries, or contains itself")


def _tensors_of(candidate: object, visits: Visits) -> dict[str, Tensor]:
    """The tensors of a network, of a state dict, or of an object that holds one of these; empty for other objects."""
    if tensors := dict(_tensors(candidate, "", visits)):
        return tensors
    entries = candidate.state if isinstance(candidate, Placeholder) else candidate
    if not isinstance(entries, Mapping):
        return {}
    plain = {str(name): _plain(value, visits) for name, value in cast(Mapping[object, object], entries).items()}
    return {name: tensor for name, tensor in unwrap(plain).items() if isinstance(tensor, Tensor)}


def _plain(value: object, visits: Visits, depth: int = 0) -> object:
    """A value of a dict with tensors, and networks as dicts of tensors, in place of their placeholders."""
    visits.add(depth)
    if isinstance(value, Mapping):
        entries = cast(Mapping[object, object], value)
        return {str(name): _plain(part, visits, depth + 1) for name, part in entries.items()}
    if (tensor := tensor_in(value)) is not None:
        return tensor
    return dict(_tensors(value, "", visits, depth)) or value


def _describe(loaded: object) -> str:
    """What a file holds, for the error message if that is no network."""
    if isinstance(loaded, Placeholder):
        state: object = loaded.state
        nothing: Mapping[str, object] = {}
        attributes = cast(Mapping[str, object], state) if isinstance(state, Mapping) else nothing
        if layers := [name for name, _ in _entries(attributes, "_modules")]:
            return f"a {type(loaded).__name__} with the layers {join_names(layers)}, whose parameters cannot be read"
        return f"a {type(loaded).__name__} without layers; its attributes are {join_names(map(str, attributes))}"
    if isinstance(loaded, Mapping):
        names = [str(name) for name in cast(Mapping[object, object], loaded)]
        return f"a dict without a network; its entries are {join_names(names)}"
    return f"a {type(loaded).__name__} without a network"


def tensor_in(value: object, depth: int = 0) -> Tensor | None:
    """The tensor that a pickled parameter or buffer holds, in any of the ways in which versions of torch wrote it.

    Returns:
        The tensor, detached; None if ``value`` is something else.
    """
    if isinstance(value, Tensor):
        return value.detach()
    if not isinstance(value, Placeholder) or depth > WRAPPED:
        return None
    state: object = value.state
    if isinstance(state, Mapping):  # the attributes of a module
        return None
    if (
        type(value).__name__.endswith("Tensor") and len(value.arguments) == 4
    ):  # torch.FloatTensor(storage, offset, size, stride)
        with suppress(Exception):  # the arguments can be anything
            return REBUILD(*value.arguments).detach()
    parts = [*value.arguments, *(cast(Sequence[object], state) if isinstance(state, Sequence) else ())][:WRAPPED_PARTS]
    return next((tensor for part in parts if (tensor := tensor_in(part, depth + 1)) is not None), None)


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


def _tensors(module: object, prefix: str, visits: Visits, depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """The parameters and buffers of the placeholder of a module, and of its submodules, with their names."""
    visits.add(depth)
    state: object = module.state if isinstance(module, Placeholder) else None
    if not isinstance(state, Mapping):
        return
    attributes = cast(Mapping[str, object], state)
    for kind in ("_parameters", "_buffers"):
        for name, value in _entries(attributes, kind):
            visits.add(depth)
            if (tensor := tensor_in(value)) is not None:
                yield f"{prefix}{name}", tensor
    for name, submodule in _entries(attributes, "_modules"):
        yield from _tensors(submodule, f"{prefix}{name}.", visits, depth + 1)


def _entries(attributes: Mapping[str, object], kind: str) -> Iterable[tuple[str, object]]:
    entries = attributes.get(kind)
    return cast(Mapping[str, object], entries).items() if isinstance(entries, Mapping) else ()
