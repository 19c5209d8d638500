"""Which files decide what agent a reference names (without torch and without loading the agent)."""

from __future__ import annotations

from pathlib import Path

from weakspot.agents import zoo
from weakspot.agents.formats.sb3_files import is_training, statistics_path, training_files
from weakspot.agents.formats.suffixes import CLEANRL, EXPORTED, ONNX, SAFETENSORS, TORCH_SAVED, ZIP
from weakspot.system.user_code import parse_reference

SELF_CONTAINED = {SAFETENSORS, CLEANRL, EXPORTED, ONNX}
"""Suffixes of files that hold the whole agent."""


def files_of(reference: str, *, trust: bool = False) -> list[Path] | None:
    """The files that decide which agent a reference names, so that their hashes tell whether it has changed.

    Args:
        reference: as in :func:`weakspot.agents.load.load_agent`.
        trust: whether code in the file would be run.  A file of ``torch.save`` may then hold a network whose classes are
            defined in other files, which only loading finds.

    Returns:
        For a name of the zoo, its file.  For a file of a built-in format, itself; for a zip of stable-baselines3 also the
        statistics of ``VecNormalize`` next to it.  For the folder of a training with RL Zoo, the files that are read from
        it.  None if they are only known after loading the agent: for ``path.py:function``, for references of other formats,
        and for references that name nothing.
    """
    if parse_reference(reference):
        return None
    path = Path(reference).expanduser()
    if is_training(path):
        return _training(path)
    if not path.is_file():
        shipped = zoo.find(reference)
        return None if shipped is None else [shipped]
    suffix = path.suffix.lower()
    if suffix == ZIP:
        return _with_statistics(path)
    self_contained = suffix in SELF_CONTAINED or (suffix in TORCH_SAVED and not trust)
    return [path] if self_contained else None


def _training(folder: Path) -> list[Path]:
    files = training_files(folder)
    archive = [] if files.archive is None else _with_statistics(files.archive)
    return archive + [path for path in (files.arguments, files.settings) if path.is_file()]


def _with_statistics(archive: Path) -> list[Path]:
    statistics = statistics_path(archive)
    return [archive] if statistics is None else [archive, statistics]
