"""What the report reads from a run folder, loaded and checked.

Every dataclass here is one artefact of the run folder.  A missing artefact that the report can do without is ``None``;
one that is there but damaged raises :class:`RunError` with the name of the file and what to do about it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import UInt8

from weakspot.errors import RunError
from weakspot.report.images import in_colour
from weakspot.system.files import UNREADABLE_ARRAYS
from weakspot.types import Stacks

T = TypeVar("T")

NUMBER = (int, float)

TARGET_ORDER = ("T-", "T+", "T±", "S-", "S+", "V-", "V+")
"""The order in which targets are shown; others follow by name."""


@dataclass(frozen=True)
class EnvironmentRecord:
    """The environment the agent was analysed in (see ``envs.base.EnvironmentSpec``)."""

    id: str
    action_names: tuple[str, ...]
    frames: int
    height: int
    width: int
    preprocessing: dict[str, Any]
    channel_colours: tuple[tuple[int, int, int], ...] | None = None


@dataclass(frozen=True)
class Card:
    """What an agent scored when it was evaluated: mean and standard deviation over ``episodes``."""

    score_mean: float
    score_std: float
    episodes: int
    everything: dict[str, Any]


@dataclass(frozen=True)
class AgentRecord:
    """The agent (see ``agents.base.AgentSpec``)."""

    name: str
    environment: str
    scores_are: str
    acts: str
    fingerprint: str
    card: Card | None
    action_bounds: np.ndarray | None

    @property
    def continuous(self) -> bool:
        """Whether its actions are rows of numbers."""
        return self.action_bounds is not None


@dataclass(frozen=True)
class Overview:
    """``report.json``: what was run, on what, with which versions, and how long each stage took."""

    title: str
    command: str
    created: str
    versions: dict[str, str]
    seconds: dict[str, float]
    notes: tuple[str, ...]
    environment: EnvironmentRecord
    agent: AgentRecord | None


@dataclass(frozen=True)
class Collected:
    """``collect/summary.json``: the states the agent was watched on."""

    frames: int
    epsilon: float
    episode_scores: tuple[float, ...]
    seconds: float
    decisions_per_second: float


@dataclass(frozen=True)
class Curve:
    """One logged quantity: steps (n,) and values (n,), only where it was logged and finite."""

    name: str
    steps: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class Model:
    """``train/model.json``: the trained state model."""

    recipe: str
    latent: int
    parameters: int
    steps: int
    seconds: float
    equation: str
    settings: dict[str, Any]


@dataclass(frozen=True)
class Reconstructions:
    """``analyse/reconstructions.npz``: real states beside their reconstructions.

    Attributes:
        real, reconstructed: stacks (n, k, h, w, 3), uint8.
        saliency: of the real states (n, h, w), uint8.
        scores_real, scores_reconstructed: the agent's answers (n, a).
        same_action: whether the agent does the same on both (n,).
    """

    real: Stacks
    reconstructed: Stacks
    saliency: np.ndarray
    scores_real: np.ndarray
    scores_reconstructed: np.ndarray
    same_action: np.ndarray


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval, whose ends are None where there were too few episodes for one."""

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Goggles:
    """``analyse/goggles.json``: the agent's score on real frames against its score on reconstructions only.

    ``difference`` is goggles minus agent: negative where the agent plays worse on reconstructions.
    """

    agent_scores: tuple[float, ...]
    agent: Interval
    goggles_scores: tuple[float, ...]
    goggles: Interval
    difference: Interval
    note: str


@dataclass(frozen=True)
class ObjectRecall:
    """How often an object of ``n`` real states is there in the reconstruction, with a 95 % interval; all in [0, 1]."""

    name: str
    recall: Interval
    n: int


@dataclass(frozen=True)
class Agreement:
    """``analyse/fidelity.json``: the agent's answers to reconstructions held against those to the real states.

    Attributes:
        same_action: share of states in which the best action is the same.
        answer_error: squared error of the answers over their variance.
    """

    same_action: float
    answer_error: float


@dataclass(frozen=True)
class Novelty:
    """``analyse/<target>/novelty.npz``: synthesised states held against real ones.

    Attributes:
        closest: the closest training state of each synthesised one (n, k, h, w, 3), uint8.
        mse: its mean squared error (n,).
        differing_share: share of pixels that differ by more than 25 % (n,), in [0, 1].
        real_target: target energies of held-out real states (m,).
        retrieved, retrieved_target: the real states with the lowest energy (r, k, h, w, 3) and those energies (r,).
    """

    closest: Stacks
    mse: np.ndarray
    differing_share: np.ndarray
    real_target: np.ndarray
    retrieved: UInt8[np.ndarray, "r k h w c"] | None
    retrieved_target: np.ndarray | None


@dataclass(frozen=True)
class Findings:
    """``synthesize/<target>``: states synthesised for one target.

    Attributes:
        slug: name of the folder.
        symbol: such as ``T-``.
        title, description, energy_equation: for people.
        states: (n, k, h, w, 3), uint8.
        scores: the agent's answers (n, a).
        value: the critic's values (n,), or None.
        energy: of every state at every step (n, steps), NaN once a state has stopped.
        target: final target energies (n,).
        prior_kl: distance of each search distribution from N(0, I) (n,), in nats.
        iterations: steps taken (n,).
        saliency: (n, h, w), uint8.
        novelty: comparison with real states, or None.
    """

    slug: str
    symbol: str
    title: str
    description: str
    energy_equation: str
    seed: int
    settings: dict[str, Any]
    seconds: float
    states: Stacks
    scores: np.ndarray
    value: np.ndarray | None
    energy: np.ndarray
    target: np.ndarray
    prior_kl: np.ndarray
    iterations: np.ndarray
    saliency: np.ndarray
    novelty: Novelty | None


@dataclass(frozen=True)
class Samples:
    """``analyse/samples.npz`` and ``samples.json``: random samples of the state model.

    Attributes:
        states: some of them (n, k, h, w, 3), uint8, in the order they were drawn.
        count: how many were measured.
        distance, floor: Frechet's distance in the agent's features to real states, and that between two halves of these.
        valid, real_valid: share of samples and of real states that pass the checks of their objects, or None.
    """

    states: Stacks
    count: int
    distance: float
    floor: float
    valid: float | None
    real_valid: float | None


@dataclass(frozen=True)
class Run:
    """Everything the report shows; what the run folder does not have is None or empty."""

    overview: Overview
    collected: Collected | None
    curves: tuple[Curve, ...]
    model: Model | None
    reconstructions: Reconstructions | None
    samples: Samples | None
    goggles: Goggles | None
    recall: tuple[ObjectRecall, ...]
    agreement: Agreement | None
    findings: tuple[Findings, ...]


CURVES = "metrics.jsonl"


def load_run(folder: Path) -> Run:
    """Reads a run folder.

    Raises:
        RunError: ``report.json`` is missing, or any artefact is damaged or does not fit the others.
    """
    if not (folder / "report.json").is_file():
        raise RunError(
            f"{folder} has no report.json",
            expected="a run folder that was written by weakspot",
            todo="check the path, or run `weakspot run` first",
        )
    overview = _overview(folder / "report.json")
    targets = [path for path in sorted(folder.glob("synthesize/*")) if path.is_dir() and any(path.glob("findings.*"))]
    findings = [_findings(path, folder / "analyse" / path.name / "novelty.npz", overview.environment) for path in targets]
    return Run(
        overview=overview,
        collected=_optional(folder / "collect/summary.json", _collected),
        curves=_optional(folder / "train" / CURVES, _curves) or (),
        model=_optional(folder / "train/model.json", _model),
        reconstructions=_optional(
            folder / "analyse/reconstructions.npz", lambda path: _reconstructions(path, overview.environment)
        ),
        samples=_optional(folder / "analyse/samples.npz", lambda path: _samples(path, overview.environment)),
        goggles=_optional(folder / "analyse/goggles.json", _goggles),
        recall=_optional(folder / "analyse/recall.json", _recall) or (),
        agreement=_optional(folder / "analyse/fidelity.json", _agreement),
        findings=tuple(sorted(findings, key=_target_order)),
    )


def _target_order(findings: Findings) -> tuple[int, str]:
    known = findings.symbol in TARGET_ORDER
    return TARGET_ORDER.index(findings.symbol) if known else len(TARGET_ORDER), findings.slug


def _optional(path: Path, load: Callable[[Path], T]) -> T | None:
    return load(path) if path.exists() else None


def _damaged(path: Path, seen: str, expected: str) -> RunError:
    again = "run the same command again; only the stage that writes it is repeated"
    if path.name == CURVES:  # which no stage makes again
        again = "make the report again; it then shows no curves of the training"
    return RunError(f"{path} is damaged: {seen}", expected=expected, todo=f"delete {path} and {again}")


class _Record:
    """A JSON object whose fields are checked as they are read."""

    def __init__(self, path: Path, data: Any, name: str = "") -> None:
        self.path, self.name = path, name
        self.data: dict[str, Any] = self._checked(data, dict, name or "the file")

    @classmethod
    def read(cls, path: Path) -> _Record:
        return cls(path, _parse(path, _text(path)))

    def _checked(self, value: Any, kind: Any, name: str) -> Any:
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            words = {dict: "an object", list: "a list", str: "a text"}
            raise _damaged(self.path, f"{name} is {_short(value)}", f"{name} to be {words.get(kind, 'a number')}")
        if isinstance(value, float) and not np.isfinite(value):
            raise _damaged(self.path, f"{name} is {value}", f"{name} to be a finite number")
        return value

    def get(self, key: str, kind: Any) -> Any:
        name = f"{self.name}.{key}" if self.name else key
        if key not in self.data:
            raise _damaged(self.path, f"it has no {name!r}", f"the field {name!r}")
        return self._checked(self.data[key], kind, name)

    def text(self, key: str) -> str:
        return self.get(key, str)

    def number(self, key: str) -> float:
        return float(self.get(key, NUMBER))

    def integer(self, key: str) -> int:
        return int(self.get(key, NUMBER))

    def maybe(self, key: str) -> float | None:
        return None if self.data.get(key) is None else self.number(key)

    def numbers(self, key: str) -> tuple[float, ...]:
        return tuple(float(self._checked(item, NUMBER, f"an item of {key}")) for item in self.get(key, list))

    def texts(self, key: str) -> tuple[str, ...]:
        return tuple(self._checked(item, str, f"an item of {key}") for item in self.get(key, list))

    def record(self, key: str) -> _Record:
        return _Record(self.path, self.get(key, dict), key)

    def interval(self, mean: str) -> Interval:
        return Interval(self.number(mean), self.maybe("low"), self.maybe("high"))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _damaged(path, str(error), "a text file in UTF-8") from error


def _parse(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise _damaged(path, f"{error.msg} at character {error.pos}", "JSON") from error


def _overview(path: Path) -> Overview:
    data = _Record.read(path)
    environment = data.record("environment")
    seconds = data.record("seconds")
    return Overview(
        title=data.text("title"),
        command=data.text("command"),
        created=data.text("created"),
        versions={name: str(version) for name, version in data.get("versions", dict).items()},
        seconds={stage: seconds.number(stage) for stage in seconds.data},
        notes=data.texts("notes"),
        environment=EnvironmentRecord(
            id=environment.text("id"),
            action_names=environment.texts("action_names"),
            frames=environment.integer("frames"),
            height=environment.integer("height"),
            width=environment.integer("width"),
            preprocessing=environment.get("preprocessing", dict),
            channel_colours=_channel_colours(environment),
        ),
        agent=None if data.data.get("agent") is None else _agent(data.record("agent")),
    )


def _agent(data: _Record) -> AgentRecord:
    card = None
    if data.data.get("card") is not None:
        record = data.record("card")
        card = Card(record.number("score_mean"), record.number("score_std"), record.integer("episodes"), record.data)
    scores_are = data.text("scores_are")
    if scores_are not in ("q-values", "log-probabilities", "means"):
        raise _damaged(data.path, f"agent.scores_are is {scores_are!r}", "'q-values', 'log-probabilities' or 'means'")
    return AgentRecord(
        name=data.text("name"),
        environment=data.text("environment"),
        scores_are=scores_are,
        acts=data.text("acts"),
        fingerprint=data.text("fingerprint"),
        card=card,
        action_bounds=_bounds(data),
    )


def _bounds(data: _Record) -> np.ndarray | None:
    """The least and the largest value of each dimension of continuous actions (a, 2)."""
    if data.data.get("action_bounds") is None:
        return None
    try:
        bounds = np.array(data.get("action_bounds", list), np.float64)
    except (TypeError, ValueError):
        bounds = np.zeros(0)
    if bounds.ndim != 2 or bounds.shape[-1] != 2:
        raise _damaged(data.path, "agent.action_bounds is no list of pairs", "[[least, largest], ...]")
    return bounds


def _collected(path: Path) -> Collected:
    data = _Record.read(path)
    return Collected(
        frames=data.integer("frames"),
        epsilon=data.number("epsilon"),
        episode_scores=data.numbers("episode_scores"),
        seconds=data.number("seconds"),
        decisions_per_second=data.number("decisions_per_second"),
    )


def _curves(path: Path) -> tuple[Curve, ...]:
    lines = [line for line in _text(path).splitlines() if line.strip()]
    points: dict[str, list[tuple[float, float]]] = {}
    for number, line in enumerate(lines, start=1):
        try:
            record = _Record(path, _parse(path, line))
        except RunError:
            if number == len(lines):  # a run that was killed while writing its last line
                continue
            raise
        step = record.number("step")
        for name, value in record.data.items():
            measured = isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value)
            if measured and name not in ("step", "seconds"):
                points.setdefault(name, []).append((step, float(value)))
    curves = []
    for name, pairs in points.items():
        steps, values = np.array(sorted(pairs)).T
        curves.append(Curve(name, steps, values))
    return tuple(curves)


def _model(path: Path) -> Model:
    data = _Record.read(path)
    return Model(
        recipe=data.text("recipe"),
        latent=data.integer("latent"),
        parameters=data.integer("parameters"),
        steps=data.integer("steps"),
        seconds=data.number("seconds"),
        equation=data.text("equation"),
        settings=data.get("settings", dict),
    )


def _goggles(path: Path) -> Goggles:
    data = _Record.read(path)
    agent, goggles, difference = data.record("agent"), data.record("goggles"), data.record("difference")
    result = Goggles(
        agent_scores=agent.numbers("scores"),
        agent=agent.interval("mean"),
        goggles_scores=goggles.numbers("scores"),
        goggles=goggles.interval("mean"),
        difference=difference.interval("mean"),
        note=str(data.data.get("note") or ""),
    )
    shift = result.goggles.mean - result.agent.mean
    if abs(shift - result.difference.mean) > 0.02 * max(1.0, abs(shift)):
        raise _damaged(
            path, f"difference.mean is {result.difference.mean:g}", f"goggles.mean - agent.mean, which is {shift:g}"
        )
    return result


def _agreement(path: Path) -> Agreement:
    data = _Record.read(path)
    return Agreement(data.number("agreement"), data.number("answer_error"))


def _recall(path: Path) -> tuple[ObjectRecall, ...]:
    items = [_Record(path, item, "objects") for item in _Record.read(path).get("objects", list)]
    return tuple(ObjectRecall(item.text("name"), item.interval("recall"), item.integer("n")) for item in items)


def _channel_colours(environment: _Record) -> tuple[tuple[int, int, int], ...] | None:
    told = environment.data.get("channel_colours")
    if told is None:
        return None
    try:
        colours = tuple((red, green, blue) for red, green, blue in told)
    except (TypeError, ValueError):
        colours = ()
    if not colours or not all(type(part) is int and 0 <= part <= 255 for colour in colours for part in colour):
        raise _damaged(environment.path, "channel_colours are no colours", "three numbers from 0 to 255 for each channel")
    return colours


class _Arrays:
    """An npz archive whose arrays are checked as they are read; ``n`` is the number of states it is about."""

    def __init__(self, path: Path, environment: EnvironmentRecord, first: str) -> None:
        self.path, self.environment = path, environment
        try:
            with np.load(path, allow_pickle=False) as archive:
                self.arrays = {name: archive[name] for name in archive.files}
        except UNREADABLE_ARRAYS as error:
            raise _damaged(path, str(error), "an npz archive of plain arrays") from error
        self.n = len(self.get(first, np.uint8, 5))

    def has(self, name: str) -> bool:
        return name in self.arrays

    def get(self, name: str, kind: type, dimensions: int) -> np.ndarray:
        if name not in self.arrays:
            raise _damaged(self.path, f"it has no array {name!r}", f"the array {name!r}")
        array = self.arrays[name]
        if array.ndim != dimensions or not np.issubdtype(array.dtype, kind):
            raise _damaged(
                self.path,
                f"{name!r} is {array.dtype} with shape {array.shape}",
                f"{dimensions} dimensions of {kind.__name__}",
            )
        return array

    def _sized(self, array: np.ndarray, name: str, shape: tuple[int, ...]) -> np.ndarray:
        if array.shape != shape:
            raise _damaged(self.path, f"{name!r} has shape {array.shape}", f"shape {shape}")
        return array

    def stacks(self, name: str, count: int | None = None) -> Stacks:
        """Stacks of frames, as pictures that people can look at."""
        e = self.environment
        colours = e.channel_colours
        channels = 3 if colours is None else len(colours)
        shape = (self.n if count is None else count, e.frames, e.height, e.width, channels)
        array = self._sized(self.get(name, np.uint8, 5), name, shape)
        return array if colours is None else in_colour(array, colours)

    def maps(self, name: str) -> np.ndarray:
        return self._sized(self.get(name, np.uint8, 3), name, (self.n, self.environment.height, self.environment.width))

    def scores(self, name: str) -> np.ndarray:
        array = self._sized(self.get(name, np.floating, 2), name, (self.n, len(self.environment.action_names)))
        if np.isnan(array).any() or np.isposinf(array).any():
            raise _damaged(self.path, f"{name!r} holds NaN or infinity", "finite numbers")
        return array.astype(np.float64)

    def flags(self, name: str) -> np.ndarray:
        return self._sized(self.get(name, np.bool_, 1), name, (self.n,))

    def per_state(self, name: str) -> np.ndarray:
        array = self._sized(self.get(name, np.number, 1), name, (self.n,))
        if not np.isfinite(array).all():
            raise _damaged(self.path, f"{name!r} holds NaN or infinity", "finite numbers")
        return array.astype(np.float64)


def _reconstructions(path: Path, environment: EnvironmentRecord) -> Reconstructions:
    arrays = _Arrays(path, environment, "real")
    return Reconstructions(
        real=arrays.stacks("real"),
        reconstructed=arrays.stacks("reconstructed"),
        saliency=arrays.maps("saliency"),
        scores_real=arrays.scores("scores_real"),
        scores_reconstructed=arrays.scores("scores_reconstructed"),
        same_action=arrays.flags("same_action"),
    )


def _samples(path: Path, environment: EnvironmentRecord) -> Samples:
    measured = path.with_suffix(".json")
    if not measured.is_file():
        raise RunError(
            f"{path.parent} has no {measured.name}",
            expected=f"{path.name} and {measured.name} side by side",
            todo=f"delete {path} and run the same command again; only the analysis is repeated",
        )
    data, arrays = _Record.read(measured), _Arrays(path, environment, "states")

    def share(name: str) -> float | None:
        return data.record(name).number("valid") if data.data.get(name) is not None else None

    return Samples(
        states=arrays.stacks("states"),
        count=data.integer("count"),
        distance=data.number("feature_distance"),
        floor=data.number("feature_distance_floor"),
        valid=share("checks"),
        real_valid=share("real_checks"),
    )


def _findings(folder: Path, novelty: Path, environment: EnvironmentRecord) -> Findings:
    for name in ("findings.json", "findings.npz"):
        if not (folder / name).is_file():
            raise RunError(
                f"{folder} has no {name}",
                expected="findings.json and findings.npz side by side",
                todo=f"delete {folder} and run the same command again; only this target is repeated",
            )
    data = _Record.read(folder / "findings.json")
    arrays = _Arrays(folder / "findings.npz", environment, "states")
    energy = arrays.get("energy", np.floating, 2)
    if len(energy) != arrays.n:
        raise _damaged(arrays.path, f"'energy' has shape {energy.shape}", f"{arrays.n} rows, one a state")
    return Findings(
        slug=folder.name,
        symbol=data.text("target"),
        title=data.text("title"),
        description=data.text("description"),
        energy_equation=data.text("energy_equation"),
        seed=data.integer("seed"),
        settings=data.get("settings", dict),
        seconds=data.number("seconds"),
        states=arrays.stacks("states"),
        scores=arrays.scores("scores"),
        value=arrays.per_state("value") if arrays.has("value") else None,
        energy=energy.astype(np.float64),
        target=arrays.per_state("target"),
        prior_kl=arrays.per_state("prior_kl"),
        iterations=arrays.per_state("iterations"),
        saliency=arrays.maps("saliency"),
        novelty=_optional(novelty, lambda path: _novelty(path, environment, arrays.n)),
    )


def _novelty(path: Path, environment: EnvironmentRecord, states: int) -> Novelty:
    arrays = _Arrays(path, environment, "closest")
    if arrays.n != states:
        raise RunError(
            f"{path} is about {arrays.n} states",
            expected=f"{states}, as many as were synthesised for this target",
            todo=f"delete {path} and run the same command again; only the analysis is repeated",
        )
    real_target = arrays.get("real_target", np.floating, 1).astype(np.float64)
    retrieved, retrieved_target = None, None
    if arrays.has("retrieved") and arrays.has("retrieved_target"):
        retrieved_target = arrays.get("retrieved_target", np.floating, 1).astype(np.float64)
        retrieved = arrays.stacks("retrieved", len(retrieved_target))
    return Novelty(
        closest=arrays.stacks("closest"),
        mse=arrays.per_state("mse"),
        differing_share=arrays.per_state("differing_share"),
        real_target=real_target[np.isfinite(real_target)],
        retrieved=retrieved,
        retrieved_target=retrieved_target,
    )
