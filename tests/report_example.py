"""An example run folder for the tests of the report: real Pong frames, everything else made up.

``reconstructions`` are blurred frames and ``synthesised`` states are mixtures of two real ones, so that the pictures
look like those of a state model; the numbers are a fixed function of them.  Run as a script to look at one:
``python tests/report_example.py FOLDER``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
from ale_py import ALEInterface, LoggerMode, roms

PONG = ("NOOP", "FIRE", "RIGHT", "LEFT", "RIGHTFIRE", "LEFTFIRE")
FRAMES = 4


def play_pong(decisions: int, seed: int = 0) -> np.ndarray:
    """Colour frames (decisions, 84, 84, 3) of a scripted player that follows the ball, most of the time."""
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
    """The stacks with a little blur and noise, as a state model would give them back."""
    rng = np.random.default_rng(1)
    flat = stacks.reshape(-1, *stacks.shape[2:])
    soft = np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in flat]).reshape(stacks.shape)
    return np.clip(soft + rng.normal(0, 1.2, stacks.shape), 0, 255).astype(np.uint8)


def answers(stacks: np.ndarray, actions: int, scores_are: str) -> tuple[np.ndarray, np.ndarray]:
    """Made-up scores (n, a) and values (n,) that depend on the pictures."""
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
    moving = np.maximum(moving - 12, 0)  # the noise of made-up states is no movement
    maps = np.stack([cv2.boxFilter(frame, -1, (5, 5)) for frame in moving])
    maps /= maps.max(axis=(1, 2), keepdims=True) + 1e-6
    return (255 * np.sqrt(maps)).astype(np.uint8)


def write_json(path: Path, content: object) -> None:
    """Writes indented JSON, making the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2))


def make_example(
    folder: Path,
    action_names: tuple[str, ...] = PONG,
    scores_are: str = "log-probabilities",
    states: int = 20,
    reconstructions: int = 6,
) -> Path:
    """Writes a complete run folder of two targets with ``states`` states each and returns its path."""
    rng = np.random.default_rng(0)
    frames = play_pong(700)
    actions = len(action_names)
    _write_overview(folder, action_names, scores_are)
    _write_training(folder, rng)

    index = np.sort(rng.choice(np.arange(FRAMES, 700), reconstructions, replace=False))
    real = stacks_at(frames, index)
    reconstructed = blurred(real)
    np.savez_compressed(
        _made(folder / "analyse/reconstructions.npz"),
        real=real,
        reconstructed=reconstructed,
        saliency=saliency_of(real),
        scores_real=answers(real, actions, scores_are)[0],
        scores_reconstructed=answers(reconstructed, actions, scores_are)[0],
        same_action=answers(real, actions, scores_are)[0].argmax(axis=1)
        == answers(reconstructed, actions, scores_are)[0].argmax(axis=1),
        index=index,
    )
    np.savez_compressed(folder / "analyse/samples.npz", states=blurred(real)[: max(1, reconstructions - 2)])
    write_json(folder / "analyse/samples.json", {
        "count": 200, "feature_distance": 0.84, "feature_distance_floor": 0.6,
        "checks": {"valid": 0.91}, "real_checks": {"valid": 0.99},
    })  # fmt: skip
    write_json(folder / "analyse/fidelity.json", {"mse": 0.0004, "agreement": 0.93, "answer_error": 0.02})
    _write_target(folder, frames, rng, action_names, scores_are, states, "t-minus", "T-", "States of little value")
    _write_target(
        folder, frames, rng, action_names, scores_are, states, "action-right", "RIGHT", "States that ask for RIGHT"
    )
    return folder


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _write_overview(folder: Path, action_names: tuple[str, ...], scores_are: str) -> None:
    agent = {
        "name": "ACKTR, Pong",
        "environment": "PongNoFrameskip-v4",
        "action_names": action_names,
        "scores_are": scores_are,
        "acts": "greedy",
        "fingerprint": "3f9a" * 16,
        "card": {"score_mean": 20.2, "score_std": 0.87, "episodes": 20, "steps": 10_000_000, "acts": "greedy"},
    }
    environment = {
        "id": "PongNoFrameskip-v4",
        "action_names": action_names,
        "frames": FRAMES,
        "height": 84,
        "width": 84,
        "preprocessing": {"frame_skip": 4, "max_pool": True, "noop_max": 30, "resize": "area", "episodic_life": True},
    }
    report = {
        "title": "Where the ACKTR agent is weak in Pong",
        "command": "weakspot run --agent acktr-pong --env PongNoFrameskip-v4 --targets T- RIGHT --minutes 30",
        "versions": {"weakspot": "0.1.0", "torch": "2.13.0", "ale-py": "0.12.1", "python": "3.12.3"},
        "created": "2026-01-15 10:42 UTC",
        "seconds": {"collect": 41.2, "train": 1803.0, "synthesize": 12.4, "analyse": 96.0},
        "notes": ["An example made for the tests: frames are real, all numbers are invented."],
        "environment": environment,
        "agent": agent,
    }
    write_json(folder / "report.json", report)
    summary = {"frames": 10_000, "epsilon": 0.1, "episode_scores": [20, 19, 21, 20, 18, 21], "seconds": 41.2}
    write_json(folder / "collect/summary.json", summary | {"decisions_per_second": 242.7})


def _write_training(folder: Path, rng: np.random.Generator) -> None:
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
            held_out = {
                "ball_recall": 0.97 * (1 - decay**2),
                "mse": 3e-4 * decay + 5e-5,
                "agreement": 0.93 - 0.5 * decay,
            }
        lines.append(json.dumps(line | held_out))
    _made(folder / "train/metrics.jsonl").write_text("\n".join(lines) + "\n")
    model = {
        "recipe": "fast",
        "latent": 128,
        "parameters": 1_240_000,
        "steps": 4000,
        "seconds": 1803.0,
        "equation": "L = L_p + η · L_a + λ · KL(f(s), N(0, I))",
        "settings": {
            "batch": 32,
            "learning_rate": 2e-3,
            "eta": 30.0,
            "lambda": 1.0,
            "network": {"filters": 16, "code": 32},
        },
    }
    write_json(folder / "train/model.json", model)
    agent, goggles = [20.0, 21.0, 20.0, 19.0, 21.0, 20.0], [20.0, 20.0, 20.0, 18.0, 21.0, 20.0]
    write_json(
        folder / "analyse/goggles.json",
        {
            "episodes": 6,
            "agent": {"scores": agent, "mean": 20.17, "low": 19.5, "high": 20.7},
            "goggles": {"scores": goggles, "mean": 19.83, "low": 19.0, "high": 20.5},
            "difference": {"mean": -0.34, "low": -0.9, "high": 0.1},
            "note": "Same seeds on both sides, so episodes are compared in pairs.",
        },
    )
    objects = [
        {"name": "ball", "recall": 0.97, "low": 0.95, "high": 0.98, "n": 812},
        {"name": "own paddle", "recall": 1.0, "low": 0.99, "high": 1.0, "n": 1000},
        {"name": "opponent", "recall": 0.99, "low": 0.98, "high": 1.0, "n": 964},
    ]
    write_json(folder / "analyse/recall.json", {"objects": objects})


def _write_target(
    folder: Path,
    frames: np.ndarray,
    rng: np.random.Generator,
    action_names: tuple[str, ...],
    scores_are: str,
    states: int,
    slug: str,
    symbol: str,
    title: str,
) -> None:
    index = rng.choice(np.arange(FRAMES, len(frames)), states, replace=False)
    other = np.clip(index + rng.integers(-6, 7, states), FRAMES, len(frames) - 1)
    one, two = stacks_at(frames, index).astype(np.float32), stacks_at(frames, other).astype(np.float32)
    synthesised = blurred((0.75 * one + 0.25 * two).astype(np.uint8))
    scores, value = answers(synthesised, len(action_names), scores_are)
    target = (value - 2.0).astype(np.float32)
    steps = 150
    energy = target[:, None] + 3 * np.exp(-np.arange(steps) / 30) * rng.uniform(0.6, 1.4, (states, 1))
    energy += rng.normal(0, 0.05, energy.shape)
    iterations = rng.integers(90, steps + 1, states)
    energy[np.arange(steps)[None] >= iterations[:, None]] = np.nan
    np.savez_compressed(
        _made(folder / f"synthesize/{slug}/findings.npz"),
        states=synthesised,
        scores=scores,
        value=value,
        energy=energy.astype(np.float32),
        target=target,
        prior_kl=rng.uniform(20, 60, states).astype(np.float32),
        iterations=iterations,
        saliency=saliency_of(synthesised),
    )
    write_json(
        folder / f"synthesize/{slug}/findings.json",
        {
            "target": symbol,
            "title": title,
            "description": "Even the best action is worth little to the agent: it sees no good way out.",
            "energy_equation": "T(q) = Σ_i q_i exp(β q_i) / Σ_k exp(β q_k),   E(x) = T(A(g(x))) + α · KL(x, N(0, I))",
            "seed": 0,
            "settings": {"searches": 3, "steps": steps, "learning_rate": 0.03, "alpha": 0.02, "beta": 5.0},
            "seconds": 6.2,
        },
    )
    closest = stacks_at(frames, index)
    difference = (synthesised.astype(np.float32) - closest) / 255
    best = rng.choice(np.arange(FRAMES, len(frames)), 5, replace=False)
    np.savez_compressed(
        _made(folder / f"analyse/{slug}/novelty.npz"),
        closest=closest,
        closest_index=index,
        mse=(difference**2).mean(axis=(1, 2, 3, 4)).astype(np.float32),
        differing_share=(np.abs(difference[:, -1]).max(axis=-1) > 0.25).mean(axis=(1, 2)).astype(np.float32),
        real_target=rng.normal(0.6, 0.7, 1000).astype(np.float32),
        retrieved=stacks_at(frames, best),
        retrieved_target=np.sort(rng.uniform(-1.4, -0.9, 5)).astype(np.float32),
    )


if __name__ == "__main__":
    print(make_example(Path(sys.argv[1])))
