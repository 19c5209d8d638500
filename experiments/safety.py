"""How agents drive: metres, reward and collisions per kilometre, among reasonable, distracted and no pedestrians.

    python -m experiments.safety --agents runs/a2c-drivesemantic64-0/agent.safetensors --output docs/driving

Draws people hit and collisions per kilometre among each kind of pedestrians, of the agents and of full throttle (figure 6 of
the paper, in numbers).

Each agent is compared with a driver that takes random actions and one that always gives full throttle. All drivers drive the
same episodes, by their seeds. Intervals are at 95 %: of means by the bootstrap over episodes, of rates exact ones for
Poisson counts, of ratios of rates exact ones for two Poisson counts.

For agents, the record also contains the probability of braking and the critic's value, by what the agent sees: a person on
its path or near it, a car on it, a red light, or none of these.

Finished drives are stored in ``--output`` until the experiment has ended: the same command continues after a kill.
"""

from __future__ import annotations

import argparse
import itertools
import json
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from lab import intervals, page
from lab.arguments import at_least
from lab.command import run_command, say, with_progress
from lab.driving import (
    Episode,
    SceneOutputs,
    causes_of_ends,
    drive_episodes,
    make_driver,
    pedestrian_kinds,
    town_version,
)
from lab.figures import save_chart
from lab.page import interval, replace_table
from lab.records import digest_of, package_versions, result_folder, save_record, short_digest
from weakspot import load_agent
from weakspot.errors import ConfigError

CONSTANT = ("THROTTLE",)
"""Actions of the drivers that always take the same one."""
MIN_EPISODES = 5
"""Episodes with a kind of scene that a mean with an interval needs."""
SCENES = (
    "person on the path, no car on it, no red light",
    "person near the path, no car on it, no red light",
    "nothing in the way",
    "red light",
    "car on the path",
    "person on the path",
)
"""Kinds of scenes in the table of the agents' outputs."""
COLLISIONS = ("pedestrian", "car", "building", "tree")
"""Ends of episodes that count as collisions."""


def scene_record(episodes: list[Episode]) -> dict[str, Any]:
    """The mean probability of braking and the critic's mean value, by the kind of scene, with intervals over the episodes
    with such scenes; None if these are fewer than :data:`MIN_EPISODES`."""
    record = {}
    for name in episodes[0].outputs_by_scene:
        outputs = [episode.outputs_by_scene[name] for episode in episodes if episode.outputs_by_scene[name].decisions]
        record[name] = {
            "decisions": sum(output.decisions for output in outputs),
            "episodes": len(outputs),
            "brake": _mean_per_decision([output.brake for output in outputs], outputs),
            "value": _mean_per_decision([output.value for output in outputs if output.value is not None], outputs),
        }
    return record


def _mean_per_decision(sums: list[float], outputs: list[SceneOutputs]) -> tuple[float, float, float] | None:
    if len(sums) < MIN_EPISODES:
        return None
    counts = [output.decisions for output in outputs]
    return intervals.ratio_of_sums(sums, counts, np.random.default_rng(0))


def summary(episodes: list[Episode]) -> dict[str, Any]:
    """Means over episodes, and ends per kilometre, with intervals; every end except by time is a fault."""
    generator = np.random.default_rng(0)
    metres = np.array([episode.metres for episode in episodes])
    ends = {cause: sum(episode.cause == cause for episode in episodes) for cause in causes_of_ends()}
    kilometres = float(metres.sum()) / 1000
    return {
        "episodes": len(episodes),
        "kilometres": round(kilometres, 3),
        "metres": intervals.mean(metres, generator),
        "reward": intervals.mean([episode.reward for episode in episodes], generator),
        "seconds": intervals.mean([episode.seconds for episode in episodes], generator),
        "ends": ends,
        "people_hit_per_km": intervals.rate(ends["pedestrian"], kilometres),
        "collisions_per_km": intervals.rate(sum(ends[cause] for cause in COLLISIONS), kilometres),
        "faults_per_km": intervals.rate(sum(ends.values()), kilometres),
        **({"answers": scene_record(episodes)} if episodes[0].outputs_by_scene else {}),
    }


@dataclass(frozen=True)
class Drive:
    """The episodes of one driver among one kind of pedestrians.

    Attributes:
        agent: file of the agent whose environment is used.
        driver: ``agent``, ``random``, or ``always ACTION``.
        pedestrians: their kind.
        count: number of episodes.
        seed: of the first episode.
    """

    agent: str
    driver: str
    pedestrians: str
    count: int
    seed: int

    def __str__(self) -> str:
        return f"{self.driver} of {self.agent} among {self.pedestrians} pedestrians"

    def __call__(self) -> dict[str, Any]:
        """Drives, and returns the :func:`summary`."""
        torch.set_num_threads(1)
        driver, environment = make_driver(self.driver, self.agent, self.seed)
        return summary(drive_episodes(driver, environment, self.pedestrians, self.count, self.seed))


DRIVERS = ("agent", "random", *(f"always {name}" for name in CONSTANT))


def drive_all(drives: list[Drive], folder: Path, workers: int) -> list[dict[str, Any]]:
    """The summaries of drives, in their order, computed by ``workers`` processes unless they are in the folder already."""
    files = [_file_of(drive, folder) for drive in drives]
    missing = [number for number, file in enumerate(files) if not file.exists()]
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        numbers = {pool.submit(drives[number]): number for number in missing}
        try:
            for future in with_progress("drive", as_completed(numbers), len(missing), "drives"):
                number, result = numbers[future], future.result()
                save_record(files[number], result)
                say(f"{drives[number]}: {result['metres'][0]:.0f} m, ends {result['ends']}")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [json.loads(file.read_text()) for file in files]


def _file_of(drive: Drive, folder: Path) -> Path:
    return folder / f"drive-{short_digest(asdict(drive), digest_of(Path(drive.agent)), town_version())}.json"


def ratios_to_others(drivers: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The collisions and faults per kilometre of the first driver, the agent, divided by those of each other driver."""
    (_, agent), *others = drivers.items()
    return {
        name: {
            "collisions_per_km": rate_ratio(agent, other, COLLISIONS),
            "faults_per_km": rate_ratio(agent, other, causes_of_ends()),
        }
        for name, other in others
    }


def reasonable_over_distracted(kinds: dict[str, dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """For each agent and driver: people hit per kilometre among reasonable pedestrians, divided by those among distracted
    ones."""
    record: dict[str, dict[str, Any]] = {}
    for name, drivers in kinds.items():
        pairs = zip(drivers["reasonable"].items(), drivers["distracted"].values(), strict=True)
        record[name] = {driver: rate_ratio(first, second, ("pedestrian",)) for (driver, first), second in pairs}
    return record


def rate_ratio(first: dict[str, Any], second: dict[str, Any], causes: tuple[str, ...]) -> tuple[float, float, float] | None:
    """The rate per kilometre of ends by some causes in one summary, divided by that in another, with its interval; None if
    one driver has not moved, or the second rate is 0."""
    events, others = (sum(result["ends"][cause] for cause in causes) for result in (first, second))
    return intervals.rate_ratio(events, first["kilometres"], others, second["kilometres"])


def tables(record: dict[str, Any]) -> dict[str, str]:
    """The tables of ``safety.json`` in Markdown, by their names on the page."""
    return {
        "drivers": drivers_table(record["agents"]),
        "drivers compared": compared_table(record["agents"], record["ratios"]),
        "answers": outputs_table(record["agents"]),
    }


def drivers_table(agents: dict[str, Any]) -> str:
    """The distance and the rates of each driver; drivers other than agents drive the same for all, and appear once."""
    lines, listed = [], set()
    for kinds in agents.values():
        for pedestrians, drivers in kinds.items():
            for driver in [driver for driver in drivers if (driver, pedestrians) not in listed]:
                listed.add((driver, pedestrians))
                result = drivers[driver]
                rates = (interval(result[rate], 2) for rate in ("people_hit_per_km", "collisions_per_km", "faults_per_km"))
                lines.append((_driver_label(driver), pedestrians, interval(result["metres"], 0), *rates))
    return page.table(
        ("driver", "pedestrians", "metres an episode", "people hit per km", "collisions per km", "faults per km"), lines
    )


def compared_table(agents: dict[str, Any], ratios: dict[str, Any]) -> str:
    """Rates of the agents, divided by those of the other drivers."""
    lines = []
    for name, kinds in ratios.items():
        for pedestrians, result in kinds.items():
            agent = next(iter(agents[name][pedestrians]))
            full, random = result["always THROTTLE"], result["random"]
            compared = (full["collisions_per_km"], full["faults_per_km"], random["collisions_per_km"])
            lines.append((_driver_label(agent), pedestrians, *(interval(ratio, 2) for ratio in compared)))
    return page.table(
        (
            *("agent", "pedestrians", "collisions per km over those of full throttle", "faults per km over those"),
            "collisions per km over those of random actions",
        ),
        lines,
    )


def outputs_table(agents: dict[str, Any]) -> str:
    """The agents' probability of braking and their critics' values, by what they see."""
    lines = []
    for kinds in agents.values():
        agent = next(iter(kinds["reasonable"]))
        for reason in SCENES:
            cells = [_driver_label(agent), reason]
            for pedestrians in ("reasonable", "distracted"):
                result = kinds[pedestrians][agent]["answers"][reason]
                cells += [f"{result['decisions']:,}", interval(result["brake"], 2), interval(result["value"])]
            lines.append(tuple(cells))
    return page.table(
        (
            *("agent", "what it sees", "decisions among reasonable people", "brakes", "critic"),
            *("decisions among distracted ones", "brakes", "critic"),
        ),
        lines,
    )


def _driver_label(driver: str) -> str:
    return {"random": "random actions", "always THROTTLE": "always full throttle"}.get(driver, f"`{driver}`")


def draw_rates(kinds: dict[str, Any], path: Path) -> None:
    """Draws the rates per kilometre of the agent and of the constant drivers, for each kind of pedestrians."""
    figure = Figure(figsize=(7.0, 2.9), layout="constrained")
    names = [next(iter(next(iter(kinds.values())))), *(f"always {name}" for name in CONSTANT)]
    panels = (("people_hit_per_km", "people hit"), ("collisions_per_km", "all collisions"))
    for axes, (rate, title) in zip(figure.subplots(1, 2), panels, strict=True):
        for number, name in enumerate(names):
            for row, pedestrians in enumerate(kinds):
                estimate = kinds[pedestrians].get(name, {}).get(rate)
                if estimate is None:
                    continue  # the driver has not moved
                mean, low, high = estimate
                style = {"color": f"C{number}", "capsize": 4, "fmt": "os^"[number % 3]}
                label = name if row == 0 else None
                axes.errorbar(mean, row + 0.2 * number - 0.1, xerr=[[mean - low], [high - mean]], label=label, **style)
        labels = list(kinds) if rate == "people_hit_per_km" else []
        axes.set(yticks=range(len(kinds)), yticklabels=labels, ylim=(len(kinds) - 0.5, -0.5))
        axes.set(xlabel=f"{title} per kilometre", xlim=(0, None))
        axes.grid(axis="x", alpha=0.3)
    save_chart(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", nargs="+", required=True, help="agent files")
    parser.add_argument("--episodes", type=at_least(1), default=100, help="per driver and kind of pedestrians")
    parser.add_argument("--seed", type=at_least(0), default=30_000_000, help="of the first episode")
    parser.add_argument("--workers", type=at_least(1), default=1, help="number of processes")
    parser.add_argument("--output", type=Path, default=Path("runs/safety"))
    parser.add_argument("--page", type=Path, help="Markdown page whose tables are replaced")
    arguments = parser.parse_args()
    paths = {f"{Path(path).parent.name}/{Path(path).name}": path for path in arguments.agents}
    if len(paths) < len(arguments.agents):
        raise ConfigError(
            "agent files of the same name in folders of the same name",
            expected="a different name for each, since results are listed by name",
            todo="rename a folder, or measure them with another --output",
        )
    output = result_folder(arguments.output)
    drives = [
        Drive(path, driver, pedestrians, arguments.episodes, arguments.seed)
        for path, pedestrians, driver in itertools.product(paths.values(), pedestrian_kinds(), DRIVERS)
    ]
    summaries = iter(drive_all(drives, output, arguments.workers))
    agents: dict[str, Any] = {}
    for name, path in paths.items():
        drivers = (load_agent(path).spec.name, *DRIVERS[1:])
        agents[name] = {kind: dict(zip(drivers, summaries, strict=False)) for kind in pedestrian_kinds()}
    settings = {
        "episodes": arguments.episodes,
        "seed": arguments.seed,
        "town_version": town_version(),
        "versions": package_versions("embreex", "numpy", "torch"),
    }
    ratios = {name: {kind: ratios_to_others(kinds[kind]) for kind in kinds} for name, kinds in agents.items()}
    record = {
        "settings": settings,
        "agents": agents,
        "ratios": ratios,
        "reasonable_over_distracted": reasonable_over_distracted(agents),
    }
    save_record(output / "safety.json", record)
    for name, kinds in agents.items():
        draw_rates(kinds, output / f"safety-{Path(name).with_suffix('').as_posix().replace('/', '-')}.png")
    if arguments.page:
        for name, table in tables(record).items():
            replace_table(arguments.page, name, table)
    for drive in drives:
        _file_of(drive, output).unlink(missing_ok=True)


if __name__ == "__main__":
    run_command(main)
