"""``weakspot export``: pictures without loss, clips, tables that can be read back, and a card without markup of names."""

from __future__ import annotations

import csv
import dataclasses
import shutil
import struct
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest
import yaml

from weakspot.artifacts.run import load_run
from weakspot.cli import main
from weakspot.export.card import model_card
from weakspot.export.event_file import Scalar, _checksum, crc32c
from weakspot.export.pictures import clips
from weakspot.export.tables import _plain, states_table
from weakspot.export.tensorboard import entries


def test_notebooks_show_results_and_escape_names(finished_run: Path) -> None:
    run = load_run(finished_run)
    assert run.agent.name in run._repr_html_() and "synthesised states: T-" in run._repr_html_()
    hostile = dataclasses.replace(run, agent=dataclasses.replace(run.agent, name="<script>"))
    assert "<script>" not in hostile._repr_html_()
    assert run.findings["T-"]._repr_html_().count('<img src="data:image/png;base64,') == len(run.findings["T-"].states)
    assert run.confirmation is not None
    for weakness in run.confirmation.weaknesses:
        assert f"<b>{weakness.verdict}</b>" in weakness._repr_html_()


@pytest.fixture(scope="module")
def exported(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "files"
    formats = ("png", "mp4", "gif", "csv", "card", "tensorboard")
    assert main(["export", str(finished_run), "--output", str(folder), "--formats", *formats]) == 0
    return folder


def test_files_of_others_are_not_overwritten(finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "README.md").write_text("mine")
    command = ["export", str(finished_run), "--formats", "card"]
    assert main([*command, "--output", str(tmp_path / "mine")]) == 2
    assert "holds files that weakspot export did not write: README.md" in capsys.readouterr().err
    assert [path.read_text() for path in (tmp_path / "mine").iterdir()] == ["mine"]
    for _ in range(2):
        assert main([*command, "--output", str(tmp_path / "new")]) == 0, "an earlier export is replaced"
    link = tmp_path / "run"
    shutil.copytree(finished_run, link, symlinks=True)
    (tmp_path / "empty").mkdir()
    (link / "export").symlink_to(tmp_path / "empty")
    assert main(["export", str(link), "--formats", "card"]) == 2 and "it is a link" in capsys.readouterr().err
    assert not list((tmp_path / "empty").iterdir())


def test_pictures_are_exact(finished_run: Path, exported: Path) -> None:
    run = load_run(finished_run)
    for symbol, findings in run.findings.items():
        for index, stack in enumerate(findings.states, start=1):
            picture = cv2.imread(str(exported / "png" / f"{findings.search.slug}-{index:03d}.png"))
            assert picture is not None
            frames = np.stack(np.split(picture[..., ::-1], len(stack), axis=1))
            assert np.array_equal(frames, stack), (symbol, index)


def test_clips_have_all_their_frames(finished_run: Path, exported: Path) -> None:
    expected = {clip.name: clip.frames for clip in clips(load_run(finished_run))}
    assert expected
    for name, frames in expected.items():
        video = cv2.VideoCapture(str(exported / "mp4" / f"{name}.mp4"))
        assert int(video.get(cv2.CAP_PROP_FRAME_COUNT)) == len(frames)
        read, picture = video.read()
        assert read and np.abs(picture[::4, ::4, ::-1].astype(int) - frames[0]).mean() < 12
        animation = cast(Any, cv2).imreadanimation(str(exported / "gif" / f"{name}.gif"))[1]
        assert len(animation.frames) == len(frames)


def test_tables_are_read_back(finished_run: Path, exported: Path) -> None:
    run = load_run(finished_run)
    rows = list(csv.DictReader((exported / "states.csv").open()))
    for symbol, findings in run.findings.items():
        own = [row for row in rows if row["target"] == symbol]
        assert [float(row["target_energy"]) for row in own] == pytest.approx(findings.target.tolist())
        assert [float(row["score LEFT"]) for row in own] == pytest.approx(findings.scores[:, 3].tolist())
    confirmation = run.confirmation
    assert confirmation is not None
    found = list(csv.DictReader((exported / "weaknesses.csv").open()))
    assert [row["sentence"] for row in found] == [weakness.sentence for weakness in confirmation.weaknesses]
    assert [_plain(cell) for cell in ("=1+1", "@x", "T-", -1.5)] == ["'=1+1", "'@x", "T-", -1.5]
    assert states_table(run).count("\n") == len(rows) + 1


def records(content: bytes) -> list[bytes]:
    """The contents of the records of an event file, whose checksums are compared."""
    found = []
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        assert content[8:12] == _checksum(content[:8]) and content[12 + length : 16 + length] == _checksum(
            content[12:][:length]
        )
        found.append(content[12 : 12 + length])
        content = content[16 + length :]
    return found


def test_event_files_have_the_scalars_and_pictures_of_every_stage(finished_run: Path, exported: Path) -> None:
    assert crc32c(b"123456789") == 0xE3069283  # the check value of CRC-32C
    content = next((exported / "tensorboard").iterdir()).read_bytes()
    events = records(content)
    expected = list(entries(load_run(finished_run)))
    assert len(events) == len(expected) + 1 and b"brain.Event:2" in events[0]
    for entry, event in zip(expected, events[1:], strict=True):
        tag = entry.tag.encode()
        assert tag in event
        if isinstance(entry, Scalar):
            at = event.index(tag) + len(tag)
            assert event[at] == 0x15 and struct.unpack("<f", event[at + 1 :])[0] == pytest.approx(entry.value, rel=1e-6)
        else:
            assert event.endswith(entry.png)
    stages = {entry.tag.split("/")[0] for entry in expected}
    assert stages >= {"train", "fidelity", "goggles", "synthesize", "ground", "confirm", "states"}


def test_card_has_its_metadata_and_no_markup_of_names(finished_run: Path, exported: Path) -> None:
    text = (exported / "README.md").read_text()
    metadata = yaml.safe_load(text.split("---")[1])
    run = load_run(finished_run)
    assert run.goggles is not None
    metric = metadata["model-index"][0]["results"][0]["metrics"][0]
    assert metric["type"] == "mean_reward" and metric["value"] == pytest.approx(run.goggles.agent.interval.mean, abs=0.01)
    hostile = 'x"\n---\n<script>alert(1)</script> [a](b)'
    card = model_card(dataclasses.replace(run, agent=dataclasses.replace(run.agent, name=hostile)))
    assert yaml.safe_load(card.split("\n---\n")[0].removeprefix("---"))["model-index"][0]["name"] == hostile
    assert '# x" --- \\<script\\>alert(1)\\</script\\> \\[a\\](b)' in card
