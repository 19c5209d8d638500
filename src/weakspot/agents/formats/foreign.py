"""Files that hold no weights that can be read: what they are, told by their first bytes or their suffix."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from weakspot.agents.build import USE_FACTORY
from weakspot.agents.formats.suffixes import SAFETENSORS
from weakspot.errors import WeightsError

BYTES = 512
"""How much of a file is looked at."""
FETCH = "fetch the file itself: git lfs pull, or the download link instead of the page about it"
CONVERT = "export its weights from its framework, for example with safetensors.torch.save_file, and "
BEGINNINGS: tuple[tuple[bytes, str, str], ...] = (
    (b"version https://git-lfs", "a pointer of Git LFS, which stands for a larger file", FETCH),
    (b"<!doctype html", "a web page", FETCH),
    (b"<html", "a web page", FETCH),
    (b"\x89hdf\r\n\x1a\n", "an HDF5 file, as Keras writes it", CONVERT + USE_FACTORY),
    (b"\x93numpy", "an array of numpy", USE_FACTORY),
    (b"\x1f\x8b\x08", "a file compressed by gzip", "unpack it and name the file in it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it and name the file in it"),
    (b"rar!", "a RAR archive", "unpack it and name the file in it"),
)
"""What files of other kinds begin with, in lower case; what they are; and what to do."""
TEXTS = 3
"""How many of them are text."""
SUFFIXES: dict[str, tuple[str, str]] = {
    ".h5": ("a file of Keras", CONVERT + USE_FACTORY),
    ".hdf5": ("a file of Keras", CONVERT + USE_FACTORY),
    ".keras": ("a file of Keras", CONVERT + USE_FACTORY),
    ".pb": ("a graph of TensorFlow", CONVERT + USE_FACTORY),
    ".tflite": ("a model of TensorFlow Lite", CONVERT + USE_FACTORY),
    ".index": ("a checkpoint of TensorFlow", CONVERT + USE_FACTORY),
    ".msgpack": ("parameters of Flax", CONVERT + USE_FACTORY),
    ".npz": ("arrays of numpy", USE_FACTORY),
    ".npy": ("an array of numpy", USE_FACTORY),
    ".gz": ("a compressed file", "unpack it and name the file in it"),
    ".json": ("a file of text", "name the file of the weights"),
    ".yml": ("a file of settings", "name the file of the weights, or the folder of a training with RL Zoo"),
    ".yaml": ("a file of settings", "name the file of the weights"),
}
"""What files with these suffixes are, and what to do."""


def raise_if_foreign(path: Path) -> None:
    """Raises an error if a file, whatever its suffix, begins like one that holds no weights.

    Raises:
        WeightsError: it does; the message says what the file is.
    """
    if not path.is_file():
        return
    with open(path, "rb") as file:
        beginning = file.read(BYTES).lstrip().lower()
    if not beginning:
        raise WeightsError(f"{path} is empty", expected="a file of weights", todo="save or fetch it again")
    only_texts = (
        path.suffix.lower() == SAFETENSORS
    )  # whose first bytes are a number, which may look like any other beginning
    for start, kind, todo in BEGINNINGS[:TEXTS] if only_texts else BEGINNINGS:
        if beginning.startswith(start):
            _raise(path, kind, todo)


def raise_if_foreign_suffix(path: Path) -> None:
    """Raises an error if the suffix of a file is that of a kind that is not read.

    Raises:
        WeightsError: it is; the message says what the file is.
    """
    if known := SUFFIXES.get(path.suffix.lower()):
        _raise(path, *known)


def _raise(path: Path, kind: str, todo: str) -> NoReturn:
    raise WeightsError(f"{path} is {kind}", expected="a file of weights of a PyTorch network", todo=todo)
