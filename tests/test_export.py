"""``weakspot export``: pictures without loss, clips, tables that can be read back, and a card without markup of names."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest
import yaml

from weakspot.artifacts.run import load_run
from weakspot.cli import main
from weakspot.export.card import model_card
from weakspot.export.pictures import clips
from weakspot.export.tables import _plain, states_table


@pytest.fixture(scope="module")
def exported(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "files"
    formats = ("png", "mp4", "gif", "csv", "card")
    assert main(["export", str(finished_run), "--output", str(folder), "--formats", *formats]) == 0
    return folder


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
