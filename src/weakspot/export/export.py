"""Writes a run in the formats that were asked for."""

from __future__ import annotations

from pathlib import Path

from weakspot.artifacts.run import load_run
from weakspot.errors import RunError
from weakspot.export.card import model_card
from weakspot.export.config import ExportConfig
from weakspot.export.event_file import event_file
from weakspot.export.minari import write_minari
from weakspot.export.pictures import clips, states, write_gif, write_mp4, write_png
from weakspot.export.rerun import write_rerun
from weakspot.export.tables import states_table, weaknesses_table
from weakspot.export.tensorboard import entries
from weakspot.system.files import make_folder, refuse_links, storage_errors, temporary_files, write_bytes, write_text

WALL_TIME = 0.0
"""Time of all entries for TensorBoard; a constant, so that the same run gives the same file."""


MARKER = ".weakspot-export"
"""The file that marks a folder as one of exports, whose files may be replaced."""


def export(config: ExportConfig) -> list[Path]:
    """Writes the files, and returns their paths.

    Raises:
        RunError: it is not a run folder, a result is damaged, or the output holds files of somebody else.
        StorageError: a file cannot be written.
    """
    run = load_run(config.run)
    folder, colours = _claimed(config), run.environment.channel_colours
    written: list[Path] = []
    if "png" in config.formats:
        for state in states(run):
            written.append(_subfolder(folder, "png") / f"{state.name}.png")
            write_png(written[-1], state.frames, colours)
    for suffix, write in (("mp4", write_mp4), ("gif", write_gif)):
        if suffix in config.formats:
            for clip in clips(run):
                written.append(_subfolder(folder, suffix) / f"{clip.name}.{suffix}")
                write(written[-1], clip.frames, colours)
    texts = {"csv": {"states.csv": states_table, "weaknesses.csv": weaknesses_table}, "card": {"README.md": model_card}}
    for name, files in texts.items():
        if name in config.formats:
            for file, text in files.items():
                written.append(folder / file)
                write_text(written[-1], text(run))
    if "tensorboard" in config.formats:
        written.append(_subfolder(folder, "tensorboard") / "events.out.tfevents.0.weakspot")
        write_bytes(written[-1], event_file(entries(run), WALL_TIME))
    if "minari" in config.formats:
        datasets = _subfolder(folder, "minari")
        name = write_minari(datasets, run)
        written += sorted(path for path in (datasets / name).rglob("*") if path.is_file())
    if "rerun" in config.formats:
        written.append(folder / "run.rrd")
        write_rerun(written[-1], run)
    _remove_earlier(folder, config, written)
    return written


def _remove_earlier(folder: Path, config: ExportConfig, written: list[Path]) -> None:
    """Removes what an earlier export wrote in these formats, such as states of targets that the run no longer has, and
    notes in :data:`MARKER` what there is now."""
    now = {str(path.relative_to(folder)) for path in written}
    with storage_errors(folder):
        lines = (folder / MARKER).read_text(errors="replace").splitlines()
        listed = {line for line in lines if Path(line).parts and "\0" not in line}
        replaced = {name for name in listed - now if _format_of(name) in config.formats}
        for name in replaced:
            path = folder / name  # the list may come from somebody else
            if path.resolve().is_relative_to(folder.resolve()) and (path.is_file() or path.is_symlink()):
                path.unlink()
    write_text(folder / MARKER, "".join(f"{name}\n" for name in sorted(now | (listed - replaced))))


def _format_of(name: str) -> str:
    """The format to which a file of an export belongs, by its name."""
    return {"README.md": "card", "run.rrd": "rerun"}.get(name, "csv" if name.endswith(".csv") else Path(name).parts[0])


def _claimed(config: ExportConfig) -> Path:
    """The folder to write to, which is new, empty, or one of earlier exports, and is marked as such from now on."""
    folder = config.output or config.run / "export"
    if config.output is None:
        refuse_links(config.run, folder)  # the run may come from somebody else
    make_folder(folder)
    with storage_errors(folder):
        names = {path.name for path in folder.iterdir()} - {path.name for path in temporary_files(folder)}
    if names and MARKER not in names:
        raise RunError(
            f"{folder} holds files that weakspot export did not write: {', '.join(sorted(names)[:4])}",
            expected="a new or empty folder, or one of earlier exports",
            todo="choose another --output",
        )
    if MARKER not in names:
        write_text(folder / MARKER, "")
    return folder


def _subfolder(folder: Path, name: str) -> Path:
    refuse_links(folder, folder / name)
    return make_folder(folder / name)
