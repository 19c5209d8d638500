"""Which files an agent of stable-baselines3 or RL Zoo (rl-baselines3-zoo) consists of (without torch).

The statistics of ``VecNormalize`` may be next to a zip of stable-baselines3.  A training with RL Zoo leaves a folder:

    DQN/PongNoFrameskip-v4_1/best_model.zip                       the best policy of the evaluations, if there were any
    DQN/PongNoFrameskip-v4_1/PongNoFrameskip-v4.zip               the last policy
    DQN/PongNoFrameskip-v4_1/rl_model_200000_steps.zip            checkpoints
    DQN/PongNoFrameskip-v4_1/PongNoFrameskip-v4/args.yml          arguments: the environment
    DQN/PongNoFrameskip-v4_1/PongNoFrameskip-v4/config.yml        settings: wrappers, frame stacking, normalisation
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from weakspot.agents.formats.suffixes import ZIP

STATISTICS_NAMES = ("vecnormalize.pkl", "vec_normalize.pkl")
"""Names of the statistics file next to an agent's zip, in the order in which they are tried."""

ARGUMENTS = "args.yml"
SETTINGS = "config.yml"


def statistics_names(archive: Path) -> tuple[str, ...]:
    """The names that the statistics file of a zip may have: :data:`STATISTICS_NAMES`, or, for a checkpoint such as
    ``rl_model_1000_steps.zip``, the name with the same number of steps alone."""
    name, is_checkpoint = re.subn(r"_(\d+_steps)$", r"_vecnormalize_\1", archive.stem)
    return (f"{name}.pkl",) if is_checkpoint else STATISTICS_NAMES


def statistics_path(archive: Path) -> Path | None:
    """The path of the statistics file of a zip, or None if there is none."""
    candidates = (archive.with_name(name) for name in statistics_names(archive))
    return next((path for path in candidates if path.is_file()), None)


@dataclass(frozen=True)
class TrainingFiles:
    """The files of a training folder that decide which agent it names; they need not exist.

    Attributes:
        arguments: ``args.yml``.
        settings: ``config.yml``.
        archive: the agent's zip; None if there is none.
        default_archive_name: the name of the last policy's zip.
    """

    arguments: Path
    settings: Path
    archive: Path | None
    default_archive_name: str


def is_training(folder: Path) -> bool:
    """Whether a path is the folder of a training with RL Zoo."""
    return folder.is_dir() and any(folder.glob(f"*/{ARGUMENTS}"))


def training_files(folder: Path) -> TrainingFiles:
    """The files of a training folder; the archive is ``best_model.zip``, or else the last policy, or else the checkpoint
    with the most steps.

    Args:
        folder: one for which :func:`is_training` is true.
    """
    settings_folder = min(folder.glob(f"*/{ARGUMENTS}")).parent
    last = f"{settings_folder.name}{ZIP}"
    candidates = [folder / "best_model.zip", folder / last, *_checkpoints(folder)]
    archive = next((path for path in candidates if path.is_file()), None)
    return TrainingFiles(settings_folder / ARGUMENTS, settings_folder / SETTINGS, archive, last)


def _checkpoints(folder: Path) -> list[Path]:
    """The checkpoints, the one with the most steps first."""
    steps = {path: path.stem.split("_")[2] for path in folder.glob("rl_model_*_steps.zip")}
    return sorted((path for path in steps if steps[path].isdigit()), key=lambda path: int(steps[path]), reverse=True)


def zip_of(reference: str) -> Path | None:
    """The zip of stable-baselines3 that a reference names, directly or as the folder of a training; None for other
    references, and for a folder without a zip."""
    path = Path(reference).expanduser()
    if is_training(path):
        return training_files(path).archive
    return path if path.suffix.lower() == ZIP and path.is_file() else None
