"""The artifacts of a run: written and read again, damaged, and read without torch or the agent."""

from __future__ import annotations

import json
import math
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_example import make_example, update_record

import weakspot
from weakspot.artifacts import evidence, findings, novelty, overconfidence, policy_values, subject, training
from weakspot.artifacts.collection import SUMMARY, Collection, read_collection, write_collection
from weakspot.artifacts.evidence import (
    Fidelity,
    Goggles,
    Interval,
    ObjectRecall,
    Reconstructions,
    SampleMeasures,
    Samples,
    Scores,
)
from weakspot.artifacts.findings import Findings, Search
from weakspot.artifacts.lazy import LazyMapping
from weakspot.artifacts.novelty import Novelty
from weakspot.artifacts.overconfidence import Overconfidence
from weakspot.artifacts.policy_values import PolicyValues
from weakspot.artifacts.schema import read_artifact, write_artifact
from weakspot.artifacts.subject import AgentRecord, Card, EnvironmentRecord, SubjectRecord
from weakspot.errors import RunError, SchemaError
from weakspot.run.entry import read_entry
from weakspot.run.records import write_record

# strategies for the values of every artifact

numbers = st.floats(allow_nan=False, allow_infinity=False)
shares = st.floats(0, 1)
counts = st.integers(0, 2**40)
texts = st.text(max_size=12)
plain = st.recursive(
    st.none() | st.booleans() | counts | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
settings = st.dictionaries(texts, plain, max_size=3)
bounds = st.none() | st.lists(st.tuples(numbers, numbers), min_size=1, max_size=2).map(tuple)
ends = st.none() | numbers
intervals = st.builds(Interval, numbers, ends, ends)
correlations = st.none() | st.floats(-1, 1)
several = st.lists(numbers, max_size=4).map(tuple)
scores = st.builds(Scores, several, several, intervals)
levels = st.integers(0, 255)
colours = st.none() | st.lists(st.tuples(levels, levels, levels), min_size=1, max_size=2).map(tuple)
names = st.lists(texts, min_size=1, max_size=3).map(tuple)
sizes = st.integers(1, 300)
environments = st.builds(
    EnvironmentRecord,
    texts,
    names,
    sizes,
    sizes,
    sizes,
    sizes,
    settings,
    st.booleans(),
    counts,
    bounds,
    colours,
)
cards = st.none() | st.builds(Card, numbers, numbers, counts, counts, texts, texts)
agents = st.builds(
    AgentRecord,
    texts,
    texts,
    names,
    st.tuples(sizes, sizes, sizes),
    st.sampled_from(["q-values", "log-probabilities", "means"]),
    st.sampled_from(["greedy", "sampled"]),
    texts,
    bounds,
    cards,
)


def consistent(goggles: Goggles) -> Goggles:
    """The same, with a difference that equals that of the means."""
    shift = goggles.goggles.interval.mean - goggles.agent.interval.mean
    return replace(goggles, difference=replace(goggles.difference, mean=shift))


@dataclass(frozen=True)
class Json:
    """An artifact in JSON: its file, values, and how it is written to a folder and read."""

    file: str
    values: st.SearchStrategy[Any]
    write: Callable[[Path, Any], None]
    read: Callable[[Path], Any]


MEASURES = st.none() | st.dictionaries(texts, shares, max_size=2).map(lambda checks: checks | {"valid": 0.5})
JSON = [
    Json(
        subject.SUBJECT,
        st.builds(SubjectRecord, agents, environments, st.booleans()),
        subject.write_subject,
        subject.read_subject,
    ),
    Json(
        SUMMARY,
        st.builds(Collection, counts, numbers, st.lists(numbers, max_size=3).map(tuple), numbers, numbers),
        write_collection,
        read_collection,
    ),
    Json(
        evidence.FIDELITY,
        st.builds(
            Fidelity,
            counts,
            numbers,
            shares,
            numbers,
            st.lists(st.builds(ObjectRecall, texts, intervals, counts), max_size=2).map(tuple),
            st.floats(0, 1e6),
            st.integers(0, 128),
            st.integers(1, 128),
        ),
        lambda folder, value: write_artifact(folder / evidence.FIDELITY, value),
        evidence.read_fidelity,
    ),
    Json(
        policy_values.FILE,
        st.builds(PolicyValues, st.floats(1e-6, 1e6), ends, ends, counts, shares, correlations, correlations, correlations),
        policy_values.write_policy_values,
        policy_values.read_policy_values,
    ),
    Json(
        overconfidence.FILE,
        st.builds(
            Overconfidence,
            st.floats(-1, 1),
            numbers,
            numbers,
            counts,
            st.integers(1, 1_000),
            numbers,
            numbers,
            shares,
            numbers,
            numbers,
        ),
        lambda folder, value: write_artifact(folder / overconfidence.FILE, value),
        overconfidence.read_overconfidence,
    ),
    Json(
        evidence.SAMPLES,
        st.builds(SampleMeasures, counts, ends, ends, MEASURES, MEASURES),
        lambda folder, value: write_artifact(folder / evidence.SAMPLES, value),
        evidence.read_samples,
    ),
    Json(
        evidence.GOGGLES,
        st.builds(Goggles, scores, scores, intervals, st.none() | intervals, texts)
        .map(consistent)
        .filter(lambda goggles: math.isfinite(goggles.difference.mean)),
        evidence.write_goggles,
        evidence.read_goggles,
    ),
    Json(
        findings.SEARCH,
        st.builds(Search, texts, texts, texts, texts, texts, counts, settings, numbers),
        lambda folder, value: write_artifact(folder / findings.SEARCH, value),
        findings.read_search,
    ),
    Json(
        training.MODEL,
        st.builds(training.ModelRecord, texts, counts, counts, counts, numbers, texts, settings),
        lambda folder, value: training.write_model(folder, {f.name: getattr(value, f.name) for f in fields(value)}),
        training.read_model,
    ),
]
by_file = pytest.mark.parametrize("artifact", JSON, ids=lambda artifact: artifact.file)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all examples of a test write to."""
    return tmp_path_factory.mktemp("artifacts")


# JSON


@by_file
@given(data=st.data())
def test_json_is_read_as_it_was_written(folder: Path, artifact: Json, data: st.DataObject) -> None:
    value = data.draw(artifact.values)
    artifact.write(folder, value)
    assert artifact.read(folder) == value
    content = json.loads((folder / artifact.file).read_text())
    assert content["schema"] == type(value).SCHEMA


def entries(content: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of each dataclass field in ``content``, without those inside settings, checks and preprocessing."""
    paths: list[tuple[Any, ...]] = []
    if isinstance(content, dict):
        for name, value in content.items():
            paths.append((*path, name))
            if name not in ("settings", "preprocessing", "checks", "real_checks"):
                paths.extend(entries(value, (*path, name)))
    elif isinstance(content, list):
        for index, value in enumerate(content):
            paths.extend(entries(value, (*path, index)))
    return paths


def parent_of(content: Any, path: tuple[Any, ...]) -> Any:
    for step in path[:-1]:
        content = content[step]
    return content


OPTIONAL = {
    subject.SUBJECT: ("card", "action_bounds", "action_parts", "channel_colours", "entries", "gray", "ram"),
    evidence.SAMPLES: ("distance", "floor", "checks", "real_checks"),
    training.MODEL: ("schema",),
}
"""Fields with a default, by file."""


@by_file
@given(data=st.data())
def test_any_missing_field_is_named(folder: Path, artifact: Json, data: st.DataObject) -> None:
    artifact.write(folder, data.draw(artifact.values))
    path = folder / artifact.file
    content = json.loads(path.read_text())
    required = [location for location in entries(content) if location[-1] not in OPTIONAL.get(artifact.file, ())]
    location = data.draw(st.sampled_from(required))
    del parent_of(content, location)[location[-1]]
    path.write_text(json.dumps(content))
    with pytest.raises(RunError, match=f"{artifact.file} is damaged.*{location[-1]}") as caught:
        artifact.read(folder)
    assert str(path) in caught.value.seen and f"delete {path}" in caught.value.todo


@by_file
@given(data=st.data())
def test_any_field_of_a_wrong_type_is_named(folder: Path, artifact: Json, data: st.DataObject) -> None:
    artifact.write(folder, data.draw(artifact.values))
    path = folder / artifact.file
    content = json.loads(path.read_text())
    location = data.draw(st.sampled_from(entries(content)))
    parent_of(content, location)[location[-1]] = {"of": [["another"]], "type": object.__name__}
    if location[-1] in ("settings", "preprocessing"):  # any JSON object
        parent_of(content, location)[location[-1]] = ["a list"]
    path.write_text(json.dumps(content))
    with pytest.raises(RunError, match=f"{artifact.file} is damaged.*{location[-1]}") as caught:
        artifact.read(folder)
    assert str(path) in caught.value.seen


@by_file
@given(data=st.data(), schema=st.integers(3, 10**6))
def test_newer_schemas_are_refused(folder: Path, artifact: Json, data: st.DataObject, schema: int) -> None:
    artifact.write(folder, data.draw(artifact.values))
    path = folder / artifact.file
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": schema, "new": "field"}))
    with pytest.raises(SchemaError, match=f"{artifact.file} has schema {schema} of a newer weakspot"):
        artifact.read(folder)


@by_file
@given(data=st.data(), schema=st.integers(-2, 0))
def test_older_schemas_are_refused(folder: Path, artifact: Json, data: st.DataObject, schema: int) -> None:
    """Their stages run again; only a folder that was not run again has them."""
    artifact.write(folder, data.draw(artifact.values))
    path = folder / artifact.file
    path.write_text(json.dumps({"schema": schema}))
    with pytest.raises(SchemaError, match=f"{artifact.file} has schema {schema} of an older weakspot") as caught:
        artifact.read(folder)
    assert "run the same command again" in caught.value.todo


@by_file
@given(data=st.data())
def test_truncated_json_is_refused(folder: Path, artifact: Json, data: st.DataObject) -> None:
    artifact.write(folder, data.draw(artifact.values))
    path = folder / artifact.file
    content = path.read_bytes().rstrip()
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(RunError, match=f"{artifact.file} is damaged"):
        artifact.read(folder)


@by_file
@given(data=st.data())
def test_flipped_bytes_give_a_value_or_a_clear_error(folder: Path, artifact: Json, data: st.DataObject) -> None:
    value = data.draw(artifact.values)
    artifact.write(folder, value)
    path = folder / artifact.file
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        assert type(artifact.read(folder)) is type(value)
    except RunError as error:
        assert str(path) in error.seen and error.expected and error.todo


def test_a_missing_file_and_a_folder_in_its_place_are_refused(tmp_path: Path) -> None:
    for artifact in JSON:
        with pytest.raises(RunError, match=f"{artifact.file} is damaged: No such file"):
            artifact.read(tmp_path)
        (tmp_path / artifact.file).mkdir()
        with pytest.raises(RunError, match=f"{artifact.file} is damaged"):
            artifact.read(tmp_path)


def test_invalid_json_is_not_written(tmp_path: Path) -> None:
    measures = SampleMeasures(1, 0.5, 0.5)
    path = tmp_path / evidence.SAMPLES
    for bad in (float("nan"), float("inf"), "0.5"):
        with pytest.raises(RunError, match=r"samples\.json was not written") as caught:
            write_artifact(path, replace(measures, distance=bad))
        assert caught.value.expected and caught.value.todo
    with pytest.raises(RunError, match=r"samples\.json was not written.*checks"):
        write_artifact(path, replace(measures, checks={"valid": 1.5}))
    info = {"recipe": "fast", "latent": 2, "parameters": 1, "steps": 1, "seconds": 0.5, "equation": "L", "settings": {}}
    with pytest.raises(RunError, match=r"model\.json was not written.*equation"):
        training.write_model(tmp_path, {name: value for name, value in info.items() if name != "equation"})
    with pytest.raises(RunError, match=r"model\.json was not written"):
        training.write_model(tmp_path, info | {"flow": {"loss": float("nan")}})
    assert not list(tmp_path.iterdir())
    training.write_model(tmp_path, info | {"flow": {"loss": 2.5}})
    assert json.loads((tmp_path / training.MODEL).read_text())["flow"] == {"loss": 2.5}


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    path = tmp_path / evidence.SAMPLES
    for text in ("NaN", "Infinity", "-Infinity", "1e999"):
        path.write_text(f'{{"schema": 1, "count": 1, "distance": {text}}}')
        with pytest.raises(RunError, match=r"samples\.json is damaged"):
            read_artifact(path, SampleMeasures)


def test_deeply_nested_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / findings.SEARCH
    path.write_text("[" * 100_000)
    with pytest.raises(RunError, match=r"findings\.json is damaged"):
        findings.read_search(tmp_path)


def test_difference_of_the_wrong_sign_is_refused(tmp_path: Path) -> None:
    mean = Interval(1.0, None, None)
    goggles = Goggles(Scores((), (), Interval(3.0, None, None)), Scores((), (), mean), Interval(2.0, None, None), None, "")
    evidence.write_goggles(tmp_path, goggles)
    with pytest.raises(RunError, match=r"goggles\.json is damaged: the mean difference is 2"):
        evidence.read_goggles(tmp_path)


# curves


@given(
    st.lists(st.dictionaries(st.sampled_from("abc"), st.none() | numbers | st.booleans() | texts), min_size=1, max_size=6)
)
def test_curves_have_the_finite_numbers_of_each_line(folder: Path, lines: list[dict[str, Any]]) -> None:
    records = [{"step": step, "seconds": 1.0} | line for step, line in enumerate(lines)]
    (folder / training.CURVES).write_text("".join(json.dumps(record) + "\n" for record in records) + '{"step": 7, "a"')
    curves = {curve.name: curve for curve in training.read_curves(folder)}
    for name in "abc":
        points = [(r["step"], r[name]) for r in records if type(r.get(name)) in (int, float)]
        assert (name in curves) == bool(points)
        if points:
            assert list(zip(curves[name].steps, curves[name].values, strict=True)) == points


@pytest.mark.parametrize(
    "line",
    ["{}", "[]", "3", '{"step": null}', '{"step": "1"}', '{"step": true}', '{"step": NaN}', "\xff", '{"step": 1e999}'],
)
def test_a_damaged_line_of_the_curves_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / training.CURVES
    good = '{"step": 1, "loss": 2.0}'
    path.write_bytes(f"{good}\n{line}\n{good}\n".encode("latin-1"))
    with pytest.raises(RunError, match=r"metrics\.jsonl is damaged"):
        training.read_curves(tmp_path)
    path.write_bytes(f"{good}\n{line}".encode("latin-1"))
    assert len(training.read_curves(tmp_path)) == 1


def test_numbers_too_large_for_a_float_are_left_out_of_the_curves(tmp_path: Path) -> None:
    (tmp_path / training.CURVES).write_text(f'{{"step": 1, "loss": {10**400}, "mse": 0.5, "nan": NaN}}\n')
    assert [curve.name for curve in training.read_curves(tmp_path)] == ["mse"]


# arrays

SMALL = EnvironmentRecord("tiny-v0", ("LEFT", "RIGHT"), 2, 4, 5, 3, {})
N, Z, STEPS, REAL, RETRIEVED = 3, 4, 6, 5, 2


def frames(count: int, seed: int = 0) -> np.ndarray:
    shape = (count, SMALL.frames, SMALL.height, SMALL.width, SMALL.channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def small_findings() -> Findings:
    rng = np.random.default_rng(1)
    energy = rng.normal(size=(N, STEPS)).astype(np.float32)
    energy[1, 3:] = np.nan
    return Findings(
        search=Search("T-", "t-minus", "Title", "Description", "E", 0, {}, 1.0),
        states=frames(N),
        scores=np.array([[0.0, -np.inf], [1.0, 2.0], [3.0, 4.0]], np.float32),
        value=rng.normal(size=N).astype(np.float32),
        energy=energy,
        target=rng.normal(size=N).astype(np.float32),
        prior_kl=rng.normal(size=N).astype(np.float32),
        iterations=np.array([6, 3, 6]),
        saliency=frames(N)[:, -1, :, :, 0],
        latent=rng.normal(size=(N, Z)).astype(np.float32),
        latent_mean=rng.normal(size=(N, Z)).astype(np.float32),
        latent_sigma=rng.normal(size=(N, Z)).astype(np.float32),
        path_steps=np.array([0, 3]),
        path=frames(3 * N)[:, -1],
    )


def small_novelty() -> Novelty:
    rng = np.random.default_rng(2)
    return Novelty(
        closest=frames(N),
        closest_index=np.array([7, 1, 5]),
        mse=rng.uniform(size=N).astype(np.float32),
        differing_share=rng.uniform(size=N).astype(np.float32),
        real_target=rng.normal(size=REAL).astype(np.float32),
        retrieved=frames(RETRIEVED, 1),
        retrieved_target=rng.normal(size=RETRIEVED).astype(np.float32),
    )


def small_reconstructions() -> Reconstructions:
    rng = np.random.default_rng(3)
    return Reconstructions(
        real=frames(N),
        reconstructed=frames(N, 1),
        saliency=frames(N)[:, -1, :, :, 0],
        scores_real=rng.normal(size=(N, 2)).astype(np.float32),
        scores_reconstructed=rng.normal(size=(N, 2)).astype(np.float32),
        same_action=np.array([True, False, True]),
        index=np.array([2, 4, 8]),
        worst=np.array([False, False, True]),
    )


def read_samples(folder: Path) -> Samples:
    return Samples(evidence.read_samples(folder), evidence.read_sample_states(folder, SMALL))


@dataclass(frozen=True)
class Npz:
    """An artifact with arrays: its file, a value, and how it is written to a folder and read."""

    file: str
    value: Any
    write: Callable[[Path, Any], None]
    read: Callable[[Path], Any]


FIDELITY = Fidelity(3, 0.1, 1.0, 0.1, (), 20.0, 3, 4)
NPZ = [
    Npz(findings.ARRAYS, small_findings(), findings.write_findings, lambda folder: findings.read_findings(folder, SMALL)),
    Npz(novelty.ARRAYS, small_novelty(), novelty.write_novelty, lambda folder: novelty.read_novelty(folder, SMALL, N)),
    Npz(
        evidence.RECONSTRUCTIONS,
        small_reconstructions(),
        lambda folder, value: evidence.write_fidelity(folder, FIDELITY, value),
        lambda folder: evidence.read_reconstructions(folder, SMALL),
    ),
    Npz(evidence.SAMPLE_ARRAYS, Samples(SampleMeasures(0), frames(N)), evidence.write_samples, read_samples),
]
by_archive = pytest.mark.parametrize("artifact", NPZ, ids=lambda artifact: artifact.file)


def arrays_of(value: Any) -> dict[str, np.ndarray]:
    return {f.name: getattr(value, f.name) for f in fields(value) if isinstance(getattr(value, f.name), np.ndarray)}


def rewrite(path: Path, arrays: dict[str, np.ndarray]) -> None:
    np.savez_compressed(path, allow_pickle=False, **arrays)


def assert_same(read: Any, written: Any) -> None:
    assert is_dataclass(read)
    for name, array in arrays_of(written).items():
        assert getattr(read, name).shape == array.shape
        assert np.array_equal(getattr(read, name), array, equal_nan=array.dtype.kind == "f"), name


@by_archive
def test_arrays_are_read_as_they_were_written(tmp_path: Path, artifact: Npz) -> None:
    artifact.write(tmp_path, artifact.value)
    assert_same(artifact.read(tmp_path), artifact.value)
    first = (tmp_path / artifact.file).read_bytes()
    artifact.write(tmp_path, artifact.value)
    assert (tmp_path / artifact.file).read_bytes() == first, "equal arrays make equal files"


@given(n=st.integers(0, 4), actions=st.integers(1, 3), seed=st.integers(0, 9), critic=st.booleans())
def test_findings_of_any_size_are_read_as_they_were_written(
    folder: Path, n: int, actions: int, seed: int, critic: bool
) -> None:
    environment = replace(SMALL, action_names=tuple("abc"[:actions]))
    small = small_findings()
    rows = np.random.default_rng(seed).integers(0, N, n)
    paths = {"path_steps": small.path_steps, "path": frames(3 * n)[:, -1]}
    value = replace(
        small,
        **{name: array[rows] for name, array in arrays_of(small).items() if name not in paths},
        **paths,
    )
    value = replace(value, scores=np.zeros((n, actions), np.float32), value=value.value if critic else None)
    findings.write_findings(folder, value)
    read = findings.read_findings(folder, environment)
    assert_same(read, value)
    assert (read.value is None) == (not critic)
    assert read.search == value.search


@by_archive
def test_any_missing_array_is_named(tmp_path: Path, artifact: Npz) -> None:
    artifact.write(tmp_path, artifact.value)
    path = tmp_path / artifact.file
    with np.load(path) as archive:
        arrays = dict(archive)
    assert set(arrays) == set(arrays_of(artifact.value))
    for name in set(arrays) - {"value", "worst"}:
        rewrite(path, {other: array for other, array in arrays.items() if other != name})
        with pytest.raises(RunError, match=rf"{artifact.file} is damaged: it has no array '{name}'") as caught:
            artifact.read(tmp_path)
        assert str(path) in caught.value.seen and f"delete {path}" in caught.value.todo


@by_archive
@given(data=st.data())
def test_any_array_of_a_wrong_type_or_shape_is_named(folder: Path, artifact: Npz, data: st.DataObject) -> None:
    artifact.write(folder, artifact.value)
    path = folder / artifact.file
    arrays = arrays_of(artifact.value)
    name = data.draw(st.sampled_from(sorted(arrays)))
    array = arrays[name]
    free = {"real_target": (0,), "energy": (1,), "path_steps": (0,)}.get(name, ())
    if artifact.file == evidence.SAMPLE_ARRAYS:
        free = (0,)  # any number of samples
    axis = data.draw(st.sampled_from([axis for axis in range(array.ndim) if axis not in free] or [None]))
    wrong = [array[..., None], array.astype("S4"), array.astype(np.complex64), array.reshape(-1)[0]]
    if array.dtype.kind == "u":
        wrong += [array.astype(np.float32), array.astype(np.int64)]
    if array.dtype.kind == "f":
        wrong.append(np.full_like(array, np.inf))
    if name in ("energy", "latent", "latent_mean", "latent_sigma"):
        del wrong[-1]  # infinity is allowed
    if axis is not None:
        wrong += [np.concatenate([array, array.take([0], axis)], axis), array.take(range(1, array.shape[axis]), axis)]
    rewrite(path, arrays | {name: data.draw(st.sampled_from(wrong))})
    with pytest.raises(RunError) as caught:
        artifact.read(folder)
    assert str(path) in caught.value.seen and caught.value.expected and caught.value.todo


@by_archive
def test_nan_is_not_written(tmp_path: Path, artifact: Npz) -> None:
    for name, array in arrays_of(artifact.value).items():
        if array.dtype.kind != "f" or name == "energy":
            continue
        broken = array.copy()
        broken.flat[-1] = np.nan
        with pytest.raises(RunError, match=rf"{artifact.file} was not written: '{name}' contains NaN") as caught:
            artifact.write(tmp_path, replace(artifact.value, **{name: broken}))
        assert caught.value.expected and caught.value.todo
    assert not (tmp_path / artifact.file).exists()


@by_archive
def test_nan_is_not_read(tmp_path: Path, artifact: Npz) -> None:
    artifact.write(tmp_path, artifact.value)
    arrays = arrays_of(artifact.value)
    for name, array in arrays.items():
        if array.dtype.kind == "f" and name not in ("energy", "latent", "latent_mean", "latent_sigma"):
            rewrite(tmp_path / artifact.file, arrays | {name: np.full_like(array, np.nan)})
            with pytest.raises(RunError, match=f"'{name}' contains NaN"):
                artifact.read(tmp_path)


@by_archive
def test_truncated_archives_are_refused(tmp_path: Path, artifact: Npz) -> None:
    artifact.write(tmp_path, artifact.value)
    path = tmp_path / artifact.file
    content = path.read_bytes()
    for length in {*range(0, len(content) - 1, 97), len(content) - 1}:
        path.write_bytes(content[:length])
        with pytest.raises(RunError, match=rf"{artifact.file} is damaged"):
            artifact.read(tmp_path)


@by_archive
@given(data=st.data(), flip=st.integers(1, 255))
def test_flipped_bytes_of_archives_change_nothing_or_are_refused(
    folder: Path, artifact: Npz, data: st.DataObject, flip: int
) -> None:
    artifact.write(folder, artifact.value)
    path = folder / artifact.file
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= flip
    path.write_bytes(content)
    try:
        read = artifact.read(folder)
    except RunError as error:
        assert str(path) in error.seen and error.expected and error.todo
    else:
        assert_same(read, artifact.value)


def test_files_that_are_no_archive_are_refused(tmp_path: Path) -> None:
    path = tmp_path / novelty.ARRAYS
    with open(path, "wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(RunError, match=r"novelty\.npz is damaged: it is a single array"):
        novelty.read_novelty(tmp_path, SMALL, 3)
    with open(path, "wb") as file:
        np.savez(file, closest=np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(RunError, match=r"novelty\.npz is damaged"):
        novelty.read_novelty(tmp_path, SMALL, 3)


def test_novelty_and_findings_must_have_the_same_number_of_states(tmp_path: Path) -> None:
    novelty.write_novelty(tmp_path, small_novelty())
    with pytest.raises(RunError, match=r"novelty\.npz is about 3 states") as caught:
        novelty.read_novelty(tmp_path, SMALL, 4)
    assert "4" in caught.value.expected and "run the same command again" in caught.value.todo


# runs


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_example(tmp_path_factory.mktemp("run") / "run", states=3, reconstructions=2)


def test_run_has_its_findings_by_symbol(run: Path) -> None:
    loaded = weakspot.load_run(run)
    assert list(loaded.findings) == list(loaded.novelty) == ["T-", "RIGHT"]
    found, neighbours = loaded.findings["T-"], loaded.novelty["T-"]
    shapes = {name: array.shape for name, array in arrays_of(found).items()}
    assert shapes == {
        "states": (3, 4, 84, 84, 3),
        "scores": (3, 6),
        "value": (3,),
        "energy": (3, 150),
        "target": (3,),
        "prior_kl": (3,),
        "iterations": (3,),
        "saliency": (3, 84, 84),
        "latent": (3, 128),
        "latent_mean": (3, 128),
        "latent_sigma": (3, 128),
        "path_steps": (5,),
        "path": (18, 84, 84, 3),
    }
    assert np.array_equal(found.path_of(1)[-1], found.states[1, -1])
    assert neighbours.closest.shape == found.states.shape and neighbours.retrieved.shape == (8, 4, 84, 84, 3)
    assert loaded.findings["T-"] is found, "the arrays are read only once"
    assert loaded.sample_states is not None and loaded.sample_states.shape == (1, 4, 84, 84, 3)
    assert loaded.reconstructions is not None and loaded.reconstructions.real.shape == (2, 4, 84, 84, 3)
    assert loaded.agent.name == "ACKTR, Pong" and loaded.environment.height == 84
    assert loaded.settings["agent"] == "acktr-pong.safetensors" and loaded.command.startswith("weakspot run --agent")
    assert set(loaded.seconds) == {entry.record.stage for entry in loaded.entries.values()}
    assert loaded.versions["weakspot"] == loaded.entries["train"].record.versions["weakspot"]
    assert loaded.report is None


def test_versions_name_the_stages_that_differ(run: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(run, tmp_path / "run", symlinks=True))
    record = path / "train/entry.json"
    content = json.loads(record.read_text())
    entry = read_entry(record.parent)
    assert entry is not None
    write_record(record, replace(entry.record, versions={**entry.record.versions, "torch": "9.9"}))
    versions = weakspot.load_run(path).versions
    assert "9.9 (train)" in versions["torch"] and "(subject, collect, fidelity" in versions["torch"]
    assert versions["numpy"] == content["versions"]["numpy"]


def test_moved_runs_are_read(run: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(run, tmp_path / "moved", symlinks=True))
    assert weakspot.load_run(str(moved)).findings["RIGHT"].states.shape == (3, 4, 84, 84, 3)


def test_arrays_are_read_when_they_are_accessed(run: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(run, tmp_path / "run", symlinks=True))
    arrays = path / "synthesize/t-minus/findings.npz"
    arrays.write_bytes(bytes(arrays.stat().st_size))  # as many bytes as recorded, all zero
    loaded = weakspot.load_run(path)
    assert loaded.findings["RIGHT"].search.title
    for results in (loaded.findings, loaded.novelty):
        with pytest.raises(RunError, match=r"content of findings\.npz has changed"):
            results["T-"]
    arrays.unlink()
    with pytest.raises(RunError, match=r"the result of synthesize/t-minus is damaged: findings\.npz is missing"):
        weakspot.load_run(path)


def test_runs_can_be_pickled(run: Path) -> None:
    loaded = weakspot.load_run(run)
    for _ in ("before the arrays are read", "after"):
        copy = pickle.loads(pickle.dumps(loaded))
        assert list(copy.findings) == ["T-", "RIGHT"]
        assert np.array_equal(copy.findings["T-"].states, loaded.findings["T-"].states)
        assert np.array_equal(copy.novelty["T-"].closest, loaded.novelty["T-"].closest)


def test_every_truncated_file_of_a_run_is_named(run: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(run, tmp_path / "run", symlinks=True))
    for file in sorted((path / "store").glob("*/*/*")):
        content = file.read_bytes()
        file.write_bytes(content[:-2])
        with pytest.raises(RunError, match=file.name) as caught:
            weakspot.load_run(path)
        assert caught.value.expected and caught.value.todo
        file.write_bytes(content)
    assert weakspot.load_run(path).findings


def test_curves_are_optional(run: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(run, tmp_path / "run", symlinks=True))
    (path / "train" / training.CURVES).unlink()
    update_record(path / "train")
    loaded = weakspot.load_run(path)
    assert loaded.curves == () and loaded.model is not None


def test_lazy_mappings_read_each_value_once() -> None:
    reads: list[str] = []

    def reader(name: str) -> Callable[[], str]:
        return lambda: reads.append(name) or name.upper()

    mapping = LazyMapping({name: reader(name) for name in "ab"})
    assert list(mapping) == ["a", "b"] and len(mapping) == 2 and "a" in mapping and "c" not in mapping and not reads
    assert mapping["a"] == mapping["a"] == "A" and reads == ["a"]
    assert dict(mapping) == {"a": "A", "b": "B"} and reads == ["a", "b"]
    assert mapping.get("c") is None and repr(mapping) == "LazyMapping(a, b)"
    with pytest.raises(KeyError):
        mapping["c"]


def test_runs_are_read_without_torch_and_without_the_agent(run: Path) -> None:
    code = """
import sys, weakspot
run = weakspot.load_run(sys.argv[1])
assert "numpy" not in sys.modules, "numpy is imported with the first array"
for symbol, found in run.findings.items():
    print(symbol, found.states.shape, (found.target < run.novelty[symbol].real_target.min()).sum())
run.curves, run.reconstructions, run.sample_states, run.versions, run.seconds, run.report
heavy = {"torch", "ale_py", "gymnasium", "scipy", "cv2", "jinja2", "tyro"} & set(sys.modules)
assert not heavy, heavy
"""
    process = subprocess.run([sys.executable, "-c", code, str(run)], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines()[0].startswith("T- (3, 4, 84, 84, 3) ")


def test_reading_a_run_is_fast(run: Path) -> None:
    code = """
import sys, time, weakspot
weakspot.load_run
start = time.process_time()
weakspot.load_run(sys.argv[1])
print(time.process_time() - start)
"""
    seconds = [
        float(subprocess.run([sys.executable, "-c", code, str(run)], capture_output=True, check=True).stdout)
        for _ in range(3)
    ]
    assert min(seconds) < 0.3
