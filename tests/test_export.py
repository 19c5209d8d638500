"""``weakspot export``: pictures without loss, clips, tables that can be read back, and a card without markup of names."""

from __future__ import annotations

import csv
import dataclasses
import shutil
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest
import yaml

from weakspot.artifacts.run import load_run
from weakspot.cli import main
from weakspot.data.dataset import StateDataset
from weakspot.export.card import model_card
from weakspot.export.event_file import Scalar, _checksum, crc32c
from weakspot.export.minari import episodes
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
    formats = ("png", "mp4", "gif", "csv", "card", "tensorboard", "minari", "rerun")
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


def test_what_a_run_no_longer_has_is_removed_from_an_export(finished_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    assert main(["export", str(finished_run), "--output", str(folder), "--formats", "png", "csv", "card"]) == 0
    marker = folder / ".weakspot-export"
    assert set(marker.read_text().splitlines()) == {
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path != marker
    }
    for name in ("png/of-another-target.png", "png/mine.png", "old.csv"):
        (folder / name).write_bytes(b"")
    (tmp_path / "outside").write_text("mine")
    (folder / "png" / "link.png").symlink_to(tmp_path / "outside")
    stale = ("png/of-another-target.png", "old.csv", "../outside", "png/link.png", "png/../../outside")
    marker.write_text(marker.read_text() + "".join(f"{name}\n" for name in stale))
    assert main(["export", str(finished_run), "--output", str(folder), "--formats", "png", "mp4"]) == 0
    assert not (folder / "png" / "of-another-target.png").exists()
    assert (folder / "png" / "mine.png").exists() and (folder / "old.csv").exists() and (tmp_path / "outside").exists()
    marker.write_bytes(b"\n.\n\0\n\xff\npng\n")
    assert main(["export", str(finished_run), "--output", str(folder), "--formats", "png"]) == 0
    marker.write_text("old.csv\n")
    assert main(["export", str(finished_run), "--output", str(folder), "--formats", "png"]) == 0
    assert "old.csv" in marker.read_text() and (folder / "README.md").exists() and (folder / "states.csv").exists()


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


def test_minari_gives_the_recorded_frames_back_bit_for_bit(
    finished_run: Path, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import minari

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(exported / "minari"))
    (name,) = minari.list_local_datasets()
    assert name == "weakspot/tiny_agent-pong-v0"
    data, stored = StateDataset.open(load_run(finished_run).entries["collect"].folder), minari.load_dataset(name)
    ended = np.flatnonzero(data.terminated | data.truncated).tolist()
    ends = sorted({*ended, *range(data.steps - 1, len(data), data.steps)})
    starts = [0, *(end + 1 for end in ends[:-1])]
    pieces = [(a, b) for a, b in zip(starts, ends, strict=True) if b > a or data.terminated[b]]
    assert len(pieces) == stored.total_episodes > 0
    for (start, end), episode in zip(pieces, stored.iterate_episodes(), strict=True):
        frames, terminated = data.newest(np.arange(start, end + 1)), bool(data.terminated[end])
        seen = np.asarray(episode.observations)
        assert np.array_equal(seen[: len(frames)], frames) and len(seen) == len(frames) + terminated
        taken = slice(start, end + terminated)
        assert np.array_equal(episode.actions, data.action[taken]) and np.array_equal(episode.rewards, data.reward[taken])
        assert episode.terminations.tolist() == [False] * (len(seen) - 2) + [terminated]
        assert episode.truncations.tolist() == [False] * (len(seen) - 2) + [not terminated]
        assert np.array_equal(episode.infos["explored"], data.explored[taken])
    assert not list((exported / "minari").glob(".writing-*"))


@dataclass
class Play:
    """A recording of two streams of five steps: one episode terminates, one is truncated."""

    streams: int = 2
    steps: int = 5

    def __post_init__(self) -> None:
        count = self.streams * self.steps
        self.action, self.reward = np.arange(count), np.arange(count) / 8
        self.terminated, self.truncated = np.arange(count) == 2, np.arange(count) == 5
        self.explored = self.life_lost = np.zeros(count, bool)

    def newest(self, indices: np.ndarray) -> np.ndarray:
        return np.broadcast_to(indices[:, None, None, None], (len(indices), 2, 2, 3)).astype(np.uint8)


def test_episodes_of_minari_end_as_they_were_played() -> None:
    found = [
        (np.asarray(one.observations)[:, 0, 0, 0].tolist(), list(one.actions), one.terminations[-1], one.truncations[-1])
        for one in episodes(cast(Any, Play()))
    ]
    assert found == [
        ([0, 1, 2, 2], [0, 1, 2], True, False),  # the frame after the last action was not recorded
        ([3, 4], [3], False, True),
        ([6, 7, 8, 9], [6, 7, 8], False, True),  # state 5 alone has no next state
    ]


def test_a_recording_of_rerun_has_all_curves_states_and_clips(finished_run: Path, exported: Path) -> None:
    from rerun.chunk import RrdReader

    run = load_run(finished_run)
    rows: dict[str, list[dict[str, Any]]] = {}
    for chunk in RrdReader(exported / "run.rrd").stream().to_chunks():
        rows.setdefault(chunk.entity_path, []).extend(chunk.to_record_batch().to_pylist())
    for curve in run.curves:
        found = {row["training step"]: row["Scalars:scalars"][0] for row in rows[f"/training/{curve.name}"]}
        assert found == dict(zip(curve.steps.tolist(), curve.values.tolist(), strict=True))
    for findings in run.findings.values():
        shown = rows[f"/targets/{findings.search.slug}/synthesised"]
        assert [row["state"] for row in shown] == list(range(1, len(findings.states) + 1))
        for row, state in zip(shown, findings.states, strict=True):
            assert row["Image:buffer"][0] == state[-1].ravel().tolist()
        twins = run.twins.get(findings.search.target)
        accepted = [twin.number for twin in twins.search.twins if twin.accepted] if twins else []
        drawn = [row for row in rows.get(f"/targets/{findings.search.slug}/twin", []) if row.get("Image:buffer")]
        assert [row["state"] - 1 for row in drawn] == accepted
        for row, number in zip(drawn, accepted, strict=True):
            assert twins and row["Image:buffer"][0] == twins.states[number, -1].ravel().tolist()
        cleared = [row for row in rows.get(f"/targets/{findings.search.slug}/twin", []) if not row.get("Image:buffer")]
        assert len(cleared) == (len(findings.states) - len(accepted) if twins else 0)
    for clip in clips(run):
        assert len(rows[f"/clips/{clip.name}"]) == len(clip.frames)


@pytest.mark.parametrize(("format", "module"), [("minari", "minari"), ("minari", "h5py"), ("rerun", "rerun")])
def test_formats_whose_package_is_missing_say_what_to_install(
    finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, format: str,
    module: str,
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, module, None)
    assert main(["export", str(finished_run), "--output", str(tmp_path), "--formats", format]) == 2
    assert f"pip install 'weakspot[{format}]'" in capsys.readouterr().err


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
