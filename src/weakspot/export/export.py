"""Writes a run in the formats that were asked for."""

from __future__ import annotations

from pathlib import Path

from weakspot.artifacts.run import load_run
from weakspot.export.card import model_card
from weakspot.export.config import ExportConfig
from weakspot.export.pictures import clips, states, write_gif, write_mp4, write_png
from weakspot.export.tables import states_table, weaknesses_table
from weakspot.system.files import make_folder, write_text


def export(config: ExportConfig) -> list[Path]:
    """Writes the files, and returns their paths.

    Raises:
        RunError: it is not a run folder, or a result is damaged.
        StorageError: a file cannot be written.
    """
    run = load_run(config.run)
    folder, colours = make_folder(config.output or config.run / "export"), run.environment.channel_colours
    written: list[Path] = []
    if "png" in config.formats:
        pictures = make_folder(folder / "png")
        for state in states(run):
            written.append(pictures / f"{state.name}.png")
            write_png(written[-1], state.frames, colours)
    for suffix, write in (("mp4", write_mp4), ("gif", write_gif)):
        if suffix in config.formats:
            films = make_folder(folder / suffix)
            for clip in clips(run):
                written.append(films / f"{clip.name}.{suffix}")
                write(written[-1], clip.frames, colours)
    texts = {"csv": {"states.csv": states_table, "weaknesses.csv": weaknesses_table}, "card": {"README.md": model_card}}
    for name, files in texts.items():
        if name in config.formats:
            for file, text in files.items():
                written.append(folder / file)
                write_text(written[-1], text(run))
    return written
