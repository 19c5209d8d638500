"""An example run for the tests of artifacts and report: real Pong frames, and made-up results.

Reconstructions are blurred frames and synthesised states are mixtures of two real ones, so that they look like those of a
state model; the numbers are a fixed function of them. To look at one, run ``python tests/report_example.py FOLDER``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from ale_py import ALEInterface, LoggerMode, roms

from weakspot.artifacts.collection import SUMMARY, Collection, write_collection
from weakspot.artifacts.evidence import (
    FIDELITY,
    GOGGLES,
    RECONSTRUCTIONS,
    SAMPLE_ARRAYS,
    SAMPLES,
    Fidelity,
    Goggles,
    Interval,
    ObjectRecall,
    Reconstructions,
    SampleMeasures,
    Samples,
    Scores,
    write_fidelity,
    write_goggles,
    write_samples,
)
from weakspot.artifacts.findings import ARRAYS as FINDINGS_ARRAYS
from weakspot.artifacts.findings import SEARCH, Findings, Search, write_findings
from weakspot.artifacts.novelty import ARRAYS as NOVELTY_ARRAYS
from weakspot.artifacts.novelty import Novelty, write_novelty
from weakspot.artifacts.subject import (
    SUBJECT,
    AgentRecord,
    Card,
    EnvironmentRecord,
    SubjectRecord,
    write_subject,
)
from weakspot.artifacts.training import CURVES, MODEL, write_model
from weakspot.config import RunConfig, command_line
from weakspot.run.entry import read_entry, write_entry
from weakspot.run.folder import RunFolder, RunRecord, ShownResult
from weakspot.run.store import Request, Store

PONG = ("NOOP", "FIRE", "RIGHT", "LEFT", "RIGHTFIRE", "LEFTFIRE")
FRAMES = 4


def play_pong(decisions: int, seed: int = 0) -> np.ndarray:
    """Colour frames (decisions, 84, 84, 3) of a scripted player that mostly follows the ball."""
    ALEInterface.setLoggerMode(LoggerMode.Error)
    ale = ALEInterface()
    ale.setInt("random_seed", seed)
    ale.setFloat("repeat_action_probability", 0.0)
    ale.loadROM(str(roms.get_rom_path("pong")))
    rng = np.random.default_rng(seed)
    actions = ale.getMinimalActionSet()
    frames = []
    for decision in range(decisions + 40):
        ball, paddle = int(ale.getRAM()[54]), int(ale.getRAM()[51])
        choice = int(rng.integers(6)) if rng.random() < 0.25 else 2 if ball < paddle + 4 else 3
        for _ in range(4):
            ale.act(actions[choice])
        if decision >= 40:
            frames.append(cv2.resize(ale.getScreenRGB(), (84, 84), interpolation=cv2.INTER_AREA))
    return np.stack(frames)


def stacks_at(frames: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Stacks (n, 4, 84, 84, 3) whose newest frame is ``frames[index]``."""
    return np.stack([frames[index - FRAMES + 1 + i] for i in range(FRAMES)], axis=1)


def blurred(stacks: np.ndarray, sigma: float = 0.6) -> np.ndarray:
    """The stacks with a little blur and noise, as a state model would reconstruct them."""
    rng = np.random.default_rng(1)
    flat = stacks.reshape(-1, *stacks.shape[2:])
    soft = np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in flat]).reshape(stacks.shape)
    return np.clip(soft + rng.normal(0, 1.2, stacks.shape), 0, 255).astype(np.uint8)


def scores_of(stacks: np.ndarray, actions: int, scores_are: str) -> tuple[np.ndarray, np.ndarray]:
    """Made-up scores (n, a) and values (n,), a function of the frames."""
    gray = stacks[..., 0].mean(axis=1).astype(np.float64)
    small = np.stack([cv2.resize(frame, (12, 12), interpolation=cv2.INTER_AREA) for frame in gray]).reshape(len(gray), -1)
    weights = np.random.default_rng(7).normal(0, 0.11, (144, actions + 1))
    raw = (small - small.mean(axis=0)) @ weights
    scores, value = raw[:, :actions], 1.2 + 0.5 * raw[:, actions]
    if scores_are == "log-probabilities":
        scores = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    return scores.astype(np.float32), value.astype(np.float32)


def saliency_of(stacks: np.ndarray) -> np.ndarray:
    """Maps (n, 84, 84): where the stack moves, softened."""
    moving = np.abs(np.diff(stacks.astype(np.float32), axis=1)).max(axis=(1, 4))
    moving = np.maximum(moving - 12, 0)  # ignore the noise of blurred states
    maps = np.stack([cv2.boxFilter(frame, -1, (5, 5)) for frame in moving])
    maps /= maps.max(axis=(1, 2), keepdims=True) + 1e-6
    return (255 * np.sqrt(maps)).astype(np.uint8)


@dataclass(frozen=True)
class Target:
    """A target of the example."""

    name: str
    slug: str
    title: str


T_MINUS = Target("T-", "t-minus", "States of little value")
RIGHT = Target("RIGHT", "action-right", "States in which the agent chooses RIGHT")
RETRIEVED = 8


@dataclass(frozen=True)
class Example:
    """Content and size of the example run."""

    action_names: tuple[str, ...] = PONG
    scores_are: str = "log-probabilities"
    states: int = 20
    reconstructions: int = 6
    targets: tuple[Target, ...] = (T_MINUS, RIGHT)
    frames: np.ndarray = field(default_factory=lambda: play_pong(700))

    @property
    def subject(self) -> SubjectRecord:
        """Agent and environment."""
        card = Card(20.2, 0.87, 20, 10_000_000, "acktr", "python -m experiments.agents acktr-pong")
        agent = AgentRecord(
            "ACKTR, Pong",
            "PongNoFrameskip-v4",
            self.action_names,
            (4, 84, 84),
            self.scores_are,
            "greedy",
            "3f9a" * 16,
            card=card,
        )
        preprocessing = {"frame_skip": 4, "max_pool": True, "noop_max": 30, "resize": "area", "episodic_life": True}
        environment = EnvironmentRecord("PongNoFrameskip-v4", self.action_names, FRAMES, 84, 84, 3, preprocessing, ram=128)
        return SubjectRecord(agent, environment, has_critic=True)

    def scores(self, stacks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See :func:`scores_of`."""
        return scores_of(stacks, len(self.action_names), self.scores_are)


def make_example(
    folder: Path,
    action_names: tuple[str, ...] = PONG,
    scores_are: str = "log-probabilities",
    states: int = 20,
    reconstructions: int = 6,
    targets: tuple[Target, ...] = (T_MINUS, RIGHT),
) -> Path:
    """Writes a complete run folder with ``states`` states for each target, and returns its path."""
    example = Example(action_names, scores_are, states, reconstructions, targets)
    results: dict[str, ShownResult] = {}

    def make(name: str, outputs: tuple[str, ...], write: Callable[[Path], None]) -> None:
        stage, _, part = name.partition("/")
        request = Request(stage, part, {"example": name}, outputs)

        def work(path: Path) -> str:
            write(path)
            return name

        Store(folder / "store").make(request, work)
        results[name] = ShownResult(request.key, {name: "."})

    make("subject", (SUBJECT,), lambda path: write_subject(path, example.subject))
    make("collect", (SUMMARY,), lambda path: write_collection(path, collection()))
    make("train", (MODEL, CURVES), write_training)
    make("fidelity", (FIDELITY, RECONSTRUCTIONS), lambda path: write_fidelity(path, fidelity(), reconstructed(example)))
    make("samples", (SAMPLES, SAMPLE_ARRAYS), lambda path: write_samples(path, samples(example)))
    make("goggles", (GOGGLES,), lambda path: write_goggles(path, goggles()))
    for number, target in enumerate(targets):
        findings, novelty = results_of(example, target, number)
        make(f"synthesize/{target.slug}", (SEARCH, FINDINGS_ARRAYS), lambda path, f=findings: write_findings(path, f))
        make(f"novelty/{target.slug}", (NOVELTY_ARRAYS,), lambda path, n=novelty: write_novelty(path, n))
    names = {target.slug: target.name for target in targets}
    config = RunConfig(agent="acktr-pong.safetensors", output=folder, targets=tuple(names.values()))
    RunFolder(folder).write(RunRecord(1, "store", command_line(config), config.record(), names, results))
    return folder


def update_record(folder: Path) -> None:
    """Updates the record of the result in ``folder`` after a change of its files."""
    entry = read_entry(folder)
    assert entry is not None
    record = entry.record
    write_entry(
        folder,
        stage=record.stage,
        part=record.part,
        made_from=record.made_from,
        fingerprint=record.fingerprint,
        seconds=record.seconds,
        created=record.created,
        versions=record.versions,
        scratch=(),
    )


def write_damaged(path: Path, content: bytes) -> None:
    """Replaces a file of a result, and updates the record as if the stage had written it."""
    path.write_bytes(content)
    update_record(path.parent)


def collection() -> Collection:
    """Numbers of a collection."""
    return Collection(10_000, 0.1, (20.0, 19.0, 21.0, 20.0, 18.0, 21.0), 41.2, 242.7)


def fidelity() -> Fidelity:
    """Measures of a good state model."""
    objects = (
        ObjectRecall("ball", Interval(0.97, 0.95, 0.98), 812),
        ObjectRecall("own paddle", Interval(1.0, 0.99, 1.0), 1000),
        ObjectRecall("opponent", Interval(0.99, 0.98, 1.0), 964),
    )
    return Fidelity(1000, 0.0004, 0.93, 0.02, objects, 140.0, 96, 128)


def goggles() -> Goggles:
    """Scores of six episodes on real frames and on reconstructions."""
    alone, through = (20.0, 21.0, 20.0, 19.0, 21.0, 20.0), (20.0, 20.0, 20.0, 18.0, 21.0, 20.0)
    return Goggles(
        agent=Scores(alone, alone, Interval(20.17, 19.5, 20.7)),
        goggles=Scores(through, through, Interval(19.83, 19.0, 20.5)),
        difference=Interval(-0.34, -0.9, 0.1),
        ratio=Interval(0.983, 0.95, 1.01),
        note="Same seeds on both sides, so episodes are compared in pairs.",
    )


def reconstructed(example: Example) -> Reconstructions:
    """Real states and their blurred copies."""
    rng = np.random.default_rng(0)
    index = np.sort(rng.choice(np.arange(FRAMES, len(example.frames)), example.reconstructions, replace=False))
    real = stacks_at(example.frames, index)
    rebuilt = blurred(real)
    before, after = example.scores(real)[0], example.scores(rebuilt)[0]
    same = before.argmax(axis=1) == after.argmax(axis=1)
    worst = np.arange(len(index)) == len(index) - 1
    return Reconstructions(real, rebuilt, saliency_of(real), before, after, same, index, worst)


def samples(example: Example) -> Samples:
    """Blurred real states and good measures."""
    measures = SampleMeasures(200, 0.84, 0.6, {"valid": 0.91}, {"valid": 0.99})
    return Samples(measures, reconstructed(example).reconstructed[: max(1, example.reconstructions - 2)])


def write_training(folder: Path) -> None:
    """Writes the description of a state model, and the curves of its training."""
    rng = np.random.default_rng(0)
    lines = []
    for step in range(50, 4001, 50):
        decay = float(np.exp(-step / 700))
        line = {
            "step": step,
            "seconds": step * 0.45,
            "loss": 40 * decay + 6 + float(rng.normal(0, 0.8)),
            "reconstruction": 30 * decay + 3 + float(rng.normal(0, 0.5)),
            "perception": 8 * decay + 0.4 * float(rng.uniform(0.7, 1.4)),
            "prior": 12 * (1 - decay) + 4 + float(rng.normal(0, 0.2)),
        }
        held_out = {"ball_recall": None, "mse": None, "agreement": None}
        if step % 400 == 0:
            held_out = {"ball_recall": 0.97 * (1 - decay**2), "mse": 3e-4 * decay + 5e-5, "agreement": 0.93 - 0.5 * decay}
        lines.append(json.dumps(line | held_out))
    (folder / CURVES).write_text("\n".join(lines) + "\n")
    settings = {"batch": 32, "learning_rate": 2e-3, "eta": 30.0, "lambda": 1.0, "network": {"filters": 16, "code": 32}}
    equation = "L = L_p + η · L_a + λ · KL(f(s), N(0, I))"
    info = {"recipe": "fast", "latent": 128, "parameters": 1_240_000, "steps": 4000, "seconds": 1803.0, "equation": equation}
    write_model(folder, info | {"settings": settings})


def path_to(end: np.ndarray) -> np.ndarray:
    """Six frames that fade in to the last one."""
    return np.stack([(end * share).astype(np.uint8) for share in np.linspace(0.5, 1, 6)])


def results_of(example: Example, target: Target, seed: int) -> tuple[Findings, Novelty]:
    """The states of one target, and their comparison with real ones."""
    rng = np.random.default_rng([1, seed])
    frames, states, steps = example.frames, example.states, 150
    index = rng.choice(np.arange(FRAMES, len(frames)), states, replace=False)
    nearby = np.clip(index + rng.integers(-6, 7, states), FRAMES, len(frames) - 1)
    closest = stacks_at(frames, index)
    mixed = 0.75 * closest.astype(np.float32) + 0.25 * stacks_at(frames, nearby).astype(np.float32)
    synthesised = blurred(mixed.astype(np.uint8))
    scores, value = example.scores(synthesised)
    energies = (value - 2.0).astype(np.float32)
    iterations = rng.integers(90, steps + 1, states)
    energy = energies[:, None] + 3 * np.exp(-np.arange(steps) / 30) * rng.uniform(0.6, 1.4, (states, 1))
    energy += rng.normal(0, 0.05, energy.shape)
    energy[np.arange(steps)[None] >= iterations[:, None]] = np.nan
    mean, sigma = rng.normal(0, 1, (2, states, 128)).astype(np.float32)
    search = Search(
        target=target.name,
        slug=target.slug,
        title=target.title,
        description="Even the best action is worth little to the agent: it sees no good way out.",
        energy_equation="T(q) = Σ_i q_i exp(β q_i) / Σ_k exp(β q_k),   E(x) = T(A(g(x))) + α · KL(x, N(0, I))",
        seed=0,
        settings={"searches": 3, "steps": steps, "learning_rate": 0.03, "alpha": 0.02, "beta": 5.0},
        seconds=6.2,
    )
    findings = Findings(
        search=search,
        states=synthesised,
        scores=scores,
        value=value,
        energy=energy.astype(np.float32),
        target=energies,
        prior_kl=rng.uniform(20, 60, states).astype(np.float32),
        iterations=iterations,
        saliency=saliency_of(synthesised),
        latent=mean + 0.1 * sigma,
        latent_mean=mean,
        latent_sigma=0.1 * np.abs(sigma),
        path_steps=np.arange(0, steps, 30),
        path=np.concatenate([path_to(state[-1]) for state in synthesised]),
    )
    difference = (synthesised.astype(np.float32) - closest) / 255
    best = rng.choice(np.arange(FRAMES, len(frames)), RETRIEVED, replace=False)
    novelty = Novelty(
        closest=closest,
        closest_index=index,
        mse=(difference**2).mean(axis=(1, 2, 3, 4)).astype(np.float32),
        differing_share=(np.abs(difference[:, -1]).max(axis=-1) > 0.25).mean(axis=(1, 2)).astype(np.float32),
        real_target=rng.normal(0.6, 0.7, 1000).astype(np.float32),
        retrieved=stacks_at(frames, best),
        retrieved_target=np.sort(rng.uniform(-1.4, -0.9, RETRIEVED)).astype(np.float32),
    )
    return findings, novelty


if __name__ == "__main__":
    print(make_example(Path(sys.argv[1])))
