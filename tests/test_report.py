"""The report: its content, its display in Chromium from disk and without a network, and runs that it refuses."""

from __future__ import annotations

import base64
import json
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from browsing import distinct_positions, open_page, save_screenshot, violations
from changed_records import change_record
from report_example import make_example, update_record, write_damaged

from weakspot.artifacts.evidence import Interval, ObjectRecall
from weakspot.artifacts.overconfidence import Overconfidence
from weakspot.artifacts.policy_values import PolicyValues
from weakspot.artifacts.run import Run, load_run
from weakspot.artifacts.training import Curve
from weakspot.artifacts.twins import Distances, Possibility
from weakspot.artifacts.weaknesses import StateRollouts
from weakspot.errors import RunError, SchemaError
from weakspot.report import build
from weakspot.report.attainment import attainments
from weakspot.report.axis import Axis
from weakspot.report.build import write_report
from weakspot.report.charts import distribution_chart, energy_chart, training_chart
from weakspot.report.data import report_data
from weakspot.report.films import Detail
from weakspot.report.images import in_colour, saliency_uri, strip_uri
from weakspot.report.target import target_view
from weakspot.report.text import flat, indices, number
from weakspot.report.trust import reconstruction_caption, reconstruction_cards
from weakspot.report.verdict import judge

SHIPPED = Path(__file__).parent.parent / "docs" / "notebooks" / "results" / "pong"
DIRECTIONS = ("UP", "RIGHT", "LEFT", "DOWN", "UPRIGHT", "UPLEFT", "DOWNRIGHT", "DOWNLEFT")
SEAQUEST = ("NOOP", "FIRE", *DIRECTIONS, *(f"{direction}FIRE" for direction in DIRECTIONS))
HOSTILE = "<script>document.title='broken'</script><img src=x onerror=\"document.title='broken'\">"


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_example(tmp_path_factory.mktemp("example") / "run", states=11)


@pytest.fixture(scope="module")
def page(example: Path) -> Path:
    return report_of(example, example.parent / "out/report.html")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_example(tmp_path_factory.mktemp("small") / "run", states=3, reconstructions=1)


@pytest.fixture
def run(small: Path, tmp_path: Path) -> Path:
    """A copy of a small run of three states a target, which a test may break."""
    return Path(shutil.copytree(small, tmp_path / "run", symlinks=True))


def report_of(run: Path, output: Path) -> Path:
    write_report(load_run(run), output)
    return output


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    """Changes an artifact in JSON, and the record of its result."""
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    update_record(path.parent)


def edit_arrays(path: Path, **changes: np.ndarray) -> None:
    """Changes arrays of an artifact, and the record of its result."""
    with np.load(path) as archive:
        arrays = dict(archive)
    np.savez_compressed(path, allow_pickle=False, **(arrays | changes))
    update_record(path.parent)


def drop(run: Path, *names: str) -> None:
    """Takes results out of the record of a run."""

    def change(record: Any) -> Any:
        kept = {name: result for name, result in record["results"].items() if name not in names}
        return record | {"results": kept}

    change_record(run / "run.json", change)


def html_of(run: Path) -> str:
    return report_of(run, run.parent / "report.html").read_text()


# content


def test_the_data_beside_the_page_has_its_numbers(example: Path) -> None:
    run = load_run(example)
    data = json.loads(json.dumps(report_data(run), allow_nan=False))
    assert [target["target"] for target in data["targets"]] == ["T-", "RIGHT"]
    for target in data["targets"]:
        findings, novelty = run.findings[target["target"]], run.novelty[target["target"]]
        assert [state["number"] for state in target["states"]] == list(range(1, 12))
        np.testing.assert_allclose([state["target_energy"] for state in target["states"]], findings.target, rtol=1e-5)
        np.testing.assert_allclose([state["closest_real"]["mse"] for state in target["states"]], novelty.mse, rtol=1e-5)
        np.testing.assert_allclose(target["real_target_energies"], novelty.real_target, rtol=1e-5)
        for state in target["states"]:
            assert list(state["scores"]) == list(run.environment.action_names) and state["twin"] is None
    assert run.goggles is not None and data["trust"]["goggles"]["agent"]["scores"] == list(run.goggles.agent.scores)
    verdict = judge(run)
    assert data["trust"]["verdict"] == {"level": verdict.level, "headline": verdict.headline, "sentence": verdict.sentence}
    assert data["agent"]["name"] == run.agent.name and data["confirmation"] is None


def test_the_data_of_a_run_with_twins_and_weaknesses_is_that_of_its_artifacts() -> None:
    run = load_run(SHIPPED)
    data = report_data(run)
    confirmation = run.confirmation
    assert confirmation is not None
    told = [weakness["sentence"] for weakness in data["confirmation"]["weaknesses"]]
    assert told == [weakness.sentence for weakness in confirmation.weaknesses] and told
    for target in data["targets"]:
        twins = run.twins[target["target"]].search
        shown = [state["twin"] for state in target["states"] if state["twin"]]
        assert [twin["target"] for twin in shown] == [twin.target for twin in twins.twins] and target["twins"]["alike"]
        assert target["twins"]["accepted"] == sum(twin.accepted for twin in twins.twins)
        assert target["twins"]["searched"] == len(twins.twins)
        assert [bool(twin["problems"]) for twin in shown] == [not twin.accepted for twin in twins.twins]


def test_what_the_searches_reached_is_counted() -> None:
    run = load_run(SHIPPED)
    symbol, twins = next(iter(run.twins.items()))
    search, novelty = twins.search, run.novelty[symbol]
    first = replace(
        search.twins[0], kind="edited", accepted=True, possible=Possibility(True, True, None, True), target=-99.0
    )
    second = replace(first, accepted=False, possible=Possibility(True, False, True, True), target=99.0)
    found = replace(run, twins={symbol: replace(twins, search=replace(search, twins=(first, second)))})
    row = next(row for row in attainments(found) if row.slug == search_slug(run, symbol))
    assert (row.twins, row.kinds, row.possible, row.attained, row.beyond_real) == (
        "1 of 2", "1 edited", "1 of 2", "1 of 2", "1 of 1",
    )  # fmt: skip
    beyond = (run.findings[symbol].target < novelty.real_target.min()).sum()
    assert row.beyond == f"{beyond} of {len(run.findings[symbol].target)}" and row.distance == number(first.distances.mean)
    without = attainments(replace(run, twins={}, novelty={}))[0]
    assert (without.beyond, without.twins, without.kinds, without.possible, without.distance) == ("",) * 5


def search_slug(run: Run, symbol: str) -> str:
    return run.findings[symbol].search.slug


def test_the_worst_reconstructions_are_marked_as_such(example: Path) -> None:
    run = load_run(example)
    assert run.reconstructions is not None
    cards = reconstruction_cards(run.reconstructions, run, Detail(4, 8, 8))
    assert [card.worst for card in cards] == [False] * (len(cards) - 1) + [True]
    caption = reconstruction_caption(run.reconstructions, run.agent, 500)
    assert caption.startswith(
        f"{len(cards) - 1} held-out states that were drawn at random, and the 1 others of 500 in which"
    )
    assert html_of(example).count("(one of the worst)") == 1


def test_cards_show_the_rollouts_from_their_twin_and_why_there_is_none() -> None:
    run = load_run(SHIPPED)
    assert run.confirmation is not None
    symbol, twins = next(iter(run.twins.items()))
    states = (StateRollouts(f"{symbol} 2", 7, 4, 3, -1.5), StateRollouts("", 9, 4, 0, 0.0))
    rejected = replace(twins.search.twins[2], accepted=False, distances=Distances(2.0, 2.0, 2.0), target=99.0)
    search = replace(twins.search, twins=(*twins.search.twins[:2], rejected, *twins.search.twins[3:]))
    known = {**run.twins, symbol: replace(twins, search=search)}
    run = replace(run, confirmation=replace(run.confirmation, states=states), twins=known)
    cards = target_view(run, symbol, Detail(4, 8, 8)).cards
    facts = {fact.name: fact.value for fact in cards[1].facts}
    assert (facts["rollouts lost"], facts["return in rollouts"]) == ("3 of 4", "−1.5")
    assert not any(fact.name == "rollouts lost" for fact in cards[0].facts)
    assert (
        "its distance is 2, at most" in cards[2].no_twin
        and "T is 99, at most −" in cards[2].no_twin
        and cards[2].twin is None
    )
    assert not cards[0].no_twin
    only = replace(twins.search, usual=0.5).problems(replace(twins.search.twins[0], accepted=False, unusual=0.75))
    assert only == ("it is less usual than 75 % of real states, at most 50 % count",)


def test_page_is_self_contained(page: Path) -> None:
    html = page.read_text()
    assert not re.findall(r"https?:|//[a-z]", re.sub(r"base64,[A-Za-z0-9+/=]+|//.*?\n", "", html))
    assert all(source.startswith("data:image/") for source in re.findall(r'src="([^"]*)"', html))
    assert len(html) < 3_000_000


def test_page_has_its_sections_in_order(page: Path) -> None:
    html = page.read_text()
    assert re.findall(r'<(?:section|header) id="([^"]+)"', html) == [
        "top",
        "looking",
        "target-t-minus",
        "target-action-right",
        "trust",
        "made",
    ]
    for text in (
        "<title>Weaknesses of ACKTR, Pong</title>",
        "The report rates its own state model",
        "It scores 20.2 (19.5 to 20.7) in Pong, on average over 6 episodes of this run with 1 % random actions.",
        "score, mean of 6 episodes in this run",
        "LEFTFIRE",
        "closest real state",
        "L<sub>p</sub>",
        "How this was made",
    ):
        assert text in html, text
    assert "20.2 ± 0.87" not in html, "the score on the agent's card is of other episodes"


def test_page_has_the_command_without_breaks_inside_words(example: Path, page: Path) -> None:
    code = re.search(r"<code>(.*?)</code>", page.read_text(), re.S)
    assert code is not None
    assert re.sub(r"<[^>]+>", "", code[1]) == load_run(example).command
    assert '<span class="word">--agent</span> <span class="word">acktr-pong.safetensors</span>' in code[1]


def decoded(uri: str) -> np.ndarray:
    data = base64.b64decode(uri.partition(",")[2])
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert image is not None
    return image


def test_images_keep_single_pixels_and_their_colours() -> None:
    stack = np.random.default_rng(0).integers(0, 256, (4, 84, 84, 3), dtype=np.uint8)
    displayed = np.stack(np.split(decoded(strip_uri(stack, 4))[..., ::-1], 4, axis=1))
    assert np.abs(displayed.astype(int) - stack).max() <= 2
    overlay = decoded(saliency_uri(np.full((84, 84), 255, np.uint8)))
    assert overlay[0, 0].tolist() == [149, 45, 255, 225]


def test_probabilities_sum_to_one_and_the_best_is_marked(example: Path) -> None:
    run = load_run(example)
    section = target_view(run, "T-", Detail(8, 0, 20))
    scores = run.findings["T-"].scores
    for card, row in zip(section.cards, scores, strict=False):
        bars = [bar.bars[0] for bar in card.bars.rows]
        assert sum(bar.width for bar in bars) == pytest.approx(100, abs=0.1)
        assert [bar.chosen for bar in bars].index(True) == row.argmax()
        assert bars[row.argmax()].width == pytest.approx(100 * np.exp(row.max()), abs=0.02)


def test_bars_of_q_values_start_at_zero_on_a_common_axis(tmp_path: Path) -> None:
    run = load_run(make_example(tmp_path, SEAQUEST, "q-values", states=3))
    section = target_view(run, "T-", Detail(8, 0, 20))
    low, high = run.findings["T-"].scores.min(), run.findings["T-"].scores.max()
    assert low < 0 < high
    for card, scores in zip(section.cards, run.findings["T-"].scores, strict=True):
        for row, score in zip(card.bars.rows, scores, strict=True):
            bar = row.bars[0]
            start = card.bars.zero if score > 0 else card.bars.zero - bar.width
            assert bar.left == pytest.approx(start, abs=0.02)
            assert bar.width == pytest.approx(100 * abs(score) / (high - low), abs=0.02)
            assert float(bar.text.replace("−", "-")) == pytest.approx(score, abs=0.0051)


def test_a_stopped_state_keeps_its_last_energy() -> None:
    energy = np.full((3, 50), np.nan)
    energy[0, :1], energy[1, :2], energy[2] = 1.0, [9.0, 2.0], np.linspace(9, 3, 50)
    chart = energy_chart(energy)
    assert chart is not None
    assert "from 9 to 2 in 50 steps" in chart.alt


def test_states_beyond_every_real_one_are_counted(run: Path) -> None:
    target = np.array([-3.0, -0.5, 7.0], np.float32)
    edit_arrays(run / "synthesize/t-minus/findings.npz", target=target)
    edit_arrays(run / "novelty/t-minus/novelty.npz", real_target=np.array([-0.5, 0.0, 1.0], np.float32))
    assert "lowest of the 3 held-out real states; 1 of 3 synthesised states lies below" in " ".join(html_of(run).split())


def test_page_has_the_number_of_searches_that_states_were_selected_from(run: Path) -> None:
    sentence = r"the (\d+) states of lowest target energy from (\d+) searches"
    match = re.search(sentence, html_of(run))
    assert match is not None and 3 * int(match[1]) == int(match[2])
    for slug in ("t-minus", "action-right"):
        edit(run / f"synthesize/{slug}/findings.json", lambda d: d | {"settings": d["settings"] | {"searches": 1}})
    assert re.search(sentence, html_of(run)) is None


def test_histogram_is_on_the_axis_of_the_dots() -> None:
    chart = distribution_chart(np.zeros(10), np.array([-1.0, 1.0]))
    bar = re.findall(r"M([\d.]+) 74V[\d.]+H([\d.]+)", chart.marks[0].path)
    dots = [float(x) for x in re.findall(r"M([\d.]+) ", chart.marks[2].path)]
    assert len(bar) == 1
    assert float(bar[0][0]) <= 50 <= float(bar[0][1]) + 1e-6
    assert dots == pytest.approx([100 / 22, 100 - 100 / 22], abs=0.01)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (20.166, "20.2"),
        (-0.34, "−0.34"),
        (3.7e-4, "3.7 × 10⁻⁴"),
        (1e-4, "10⁻⁴"),
        (12_345, "12,345"),
        (100, "100"),
    ],
)
def test_numbers_are_formatted_for_readers(value: float, text: str) -> None:
    assert number(value) == text


def test_equations_have_subscripts_and_superscripts() -> None:
    parts = indices("sum_i W_i (g(z)_i - s_i)^2 / T_max")
    assert parts[0] == ("sum", "_", "i") and parts[2] == (" (g(z)", "_", "i") and parts[4] == (")", "^", "2")
    assert "".join("".join(part) for part in parts) == "sum_i W_i (g(z)_i - s_i)^2 / T_max"
    assert indices("no index, T±") == (("no index, T±", "", ""),)


def test_nested_settings_are_flattened() -> None:
    facts = flat({"batch": 4096, "net": {"on": True, "sizes": [1, 0.5]}, "seed": None, "rate": 2e-3})
    assert [(fact.name, fact.value) for fact in facts] == [
        ("batch", "4,096"),
        ("net.on", "yes"),
        ("net.sizes", "1, 0.5"),
        ("seed", "none"),
        ("rate", "0.002"),
    ]


def test_channels_are_shown_in_their_colours() -> None:
    stacks = np.zeros((2, 4, 3, 3, 2), np.uint8)
    stacks[0, ..., 0], stacks[1, ..., 1] = 255, 128
    rgb = in_colour(stacks, [(200, 100, 0), (0, 0, 255)])
    assert rgb.shape == (2, 4, 3, 3, 3)
    assert rgb[0, 0, 0, 0].tolist() == [200, 100, 0] and rgb[1, 0, 0, 0].tolist() == [0, 0, 128]
    assert (in_colour(stacks[0], [(200, 100, 0), (0, 0, 255)]) == rgb[0]).all()


def test_axes_have_labels() -> None:
    falling = np.geomspace(1000, 1, 30)
    loss = training_chart(Curve("loss", np.arange(30), falling), "Loss", "", False)
    assert "logarithmic" in loss.y_label
    small = training_chart(Curve("mse", np.arange(5), np.linspace(5e-4, 1e-4, 5)), "Error", "mean", False)
    assert small.y_label == "mean, × 10⁻⁴"
    assert small.y_ticks[0].label == "0"
    assert [tick.label for tick in Axis(0, 149).ticks()] == ["0", "50", "100"]


# verdict


def with_goggles(run: Run, agent: float, goggles: float, low: float | None, high: float | None) -> Run:
    assert run.goggles is not None and run.fidelity is not None
    changed = replace(
        run.goggles,
        agent=replace(run.goggles.agent, interval=Interval(agent, None, None)),
        goggles=replace(run.goggles.goggles, interval=Interval(goggles, None, None)),
        difference=Interval(goggles - agent, low, high),
    )
    return replace(run, goggles=changed, fidelity=replace(run.fidelity, objects=()))


@pytest.mark.parametrize(
    ("agent", "goggles", "low", "high", "level"),
    [
        (20, 19.8, -1, 0.5, "good"),
        (20, 16, -5, -3, "care"),
        (20, 15, -12, 2, "care"),
        (20, 4, -19, -13, "poor"),
        (20, 19, None, None, "care"),
        (-20, -20.5, -1, 0, "good"),
    ],
)
def test_verdict_of_the_goggles(example: Path, agent: float, goggles: float, low: float, high: float, level: str) -> None:
    assert judge(with_goggles(load_run(example), agent, goggles, low, high)).level == level


def test_different_actions_or_unlikely_samples_need_care(example: Path) -> None:
    run = load_run(example)
    fidelity, samples = run.fidelity, run.samples
    assert fidelity is not None and samples is not None and samples.floor is not None
    assert judge(run).level == "good"
    for changed in (
        replace(run, fidelity=replace(fidelity, same_action=0.6)),
        replace(run, samples=replace(samples, checks={"valid": 0.3})),
        replace(run, samples=replace(samples, distance=2 * samples.floor)),
    ):
        assert judge(changed).level == "care"
    assert judge(replace(run, fidelity=None, samples=None)).level == "good"
    assert "60\u00a0% of reconstructions" in judge(replace(run, fidelity=replace(fidelity, same_action=0.6))).sentence


def test_verdict_is_that_of_the_worst_check(example: Path) -> None:
    run = load_run(example)
    assert judge(run).level == "good" and run.fidelity is not None
    lost = ObjectRecall("ball", Interval(0.3, 0.2, 0.4), 100)
    verdict = judge(replace(run, fidelity=replace(run.fidelity, objects=(lost,))))
    assert verdict.level == "poor"
    assert "The ball is in 30\u00a0% of 100" in verdict.sentence
    rare = ObjectRecall("green enemy", Interval(0.0, 0.0, 0.79), 1)
    verdict = judge(replace(run, fidelity=replace(run.fidelity, objects=(rare,))))
    assert verdict.level == "care", "a single state is weak evidence"
    assert "0\u00a0% of 1 reconstructions" in verdict.sentence
    assert judge(replace(run, goggles=None, fidelity=replace(run.fidelity, objects=()))).level == "unknown"
    assert judge(replace(run, goggles=None, fidelity=None)).level == "unknown"


def test_collapsed_state_models_are_not_to_be_trusted(example: Path) -> None:
    run = load_run(example)
    assert run.fidelity is not None
    collapsed = replace(run.fidelity, kl=3.8, active_units=0)
    for verdict in (judge(replace(run, fidelity=collapsed)), judge(replace(run, fidelity=collapsed, goggles=None))):
        assert verdict.level == "poor" and "The latents carry 3.8 nats about a state" in verdict.sentence
    constant = judge(replace(run, fidelity=replace(collapsed, kl=600.0)))
    assert constant.level == "poor" and "No latent dimension varies between states" in constant.sentence


def test_target_of_a_policy_shows_what_its_action_values_are(example: Path) -> None:
    run = load_run(example)
    values = PolicyValues(0.25, 0.2, 0.3, 9_000, 0.99, 0.8, 0.81, 0.16)
    with_values = replace(run, policy_values={"T-": values})
    text = target_view(with_values, "T-", Detail(1, 8, 20)).values
    assert "temperature 0.25 (fitted to the returns that followed 9,000 recorded decisions" in text
    assert "0.8 (0.81 with the critic’s value alone, 0.16 with log-probabilities in place of q)" in text
    given = replace(values, low=None, high=None, decisions=0, correlation=None)
    text = target_view(replace(run, policy_values={"T-": given}), "T-", Detail(1, 8, 20)).values
    assert text.endswith("the temperature 0.25 (as given).")
    assert target_view(run, "T-", Detail(1, 8, 20)).values == ""


def test_target_overconfidence_shows_how_good_its_estimate_is(example: Path) -> None:
    run = load_run(example)
    estimated = replace(run, overconfidence={"T-": Overconfidence(0.62, 0.5, 0.7, 9_000, 120, 0.99, 1.0, 0.05, 12.0, -3.5)})
    text = target_view(estimated, "T-", Detail(1, 8, 20)).values
    assert "fitted to the returns over 120 decisions that followed 9,000 recorded states" in text
    assert "correlation 0.62 (95\u00a0% interval 0.5 to 0.7)" in text
    assert "in the 5\u00a0% of the states with the lowest estimates the agent expected 12 and got −3.5 on average" in text


# missing and damaged results


@pytest.mark.parametrize(
    ("missing", "gone", "kept"),
    [
        ("collect", "Collected states", "How this was made"),
        ("train", "Training of the state model", "Goggles:"),
        ("train", "latent size", "Goggles:"),
        ("fidelity", "Real states and their reconstructions", "Goggles:"),
        ("fidelity", "Recall: are", "Goggles:"),
        ("samples", "Random samples: what", "Goggles:"),
        ("goggles", "Goggles:", "Recall: are"),
        ("synthesize/t-minus", 'id="target-t-minus"', 'id="target-action-right"'),
    ],
)
def test_missing_results_drop_their_section(run: Path, missing: str, gone: str, kept: str) -> None:
    assert gone in html_of(run)
    drop(run, missing)
    html = html_of(run)
    assert gone not in html
    assert kept in html


def test_games_without_known_objects_have_no_recall(run: Path) -> None:
    edit(run / "fidelity/fidelity.json", lambda d: d | {"objects": []})
    html = html_of(run)
    assert "Recall: are" not in html
    assert "Real states and their reconstructions" in html


def test_a_training_without_curves_drops_their_section(run: Path) -> None:
    (run / "train/metrics.jsonl").unlink()
    update_record(run / "train")
    html = html_of(run)
    assert "Training of the state model" not in html
    assert "latent size" in html


def test_only_synthesised_states_are_shown_without_novelty(run: Path) -> None:
    drop(run, "novelty/t-minus")
    html = html_of(run)
    assert html.count("closest real state</span>") == 3  # of the other target
    assert html.count("Synthesised state") == 2 * 3
    assert html.count("Retrieved instead of synthesised") == 1


def test_the_subject_alone_gives_a_report(run: Path) -> None:
    drop(run, *(name for name in load_run(run).entries if name != "subject"))
    html = html_of(run)
    assert "The state model was not checked." in html
    assert 'href="#trust"' not in html


def test_agents_without_card_or_critic(run: Path) -> None:
    edit(run / "subject/subject.json", lambda data: data | {"agent": data["agent"] | {"card": None}})
    path = run / "synthesize/t-minus/findings.npz"
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files if name != "value"}
    np.savez_compressed(path, allow_pickle=False, **arrays)
    update_record(path.parent)
    html = html_of(run)
    assert "No score is recorded with it" in html
    assert html.count("<dt>critic’s value V</dt>") == 3  # of the other target


def test_log_with_a_truncated_last_line_is_read(run: Path) -> None:
    path = run / "train/metrics.jsonl"
    lines = path.read_text().splitlines()
    write_damaged(path, "\n".join([*lines, lines[-1][:25]]).encode())
    assert len(load_run(run).curves[0].steps) == len(lines)
    write_damaged(path, "\n".join([lines[0], lines[1][:25], *lines[2:]]).encode())
    with pytest.raises(RunError, match=r"metrics\.jsonl is damaged"):
        html_of(run)


def _without(key: str) -> Callable[[Any], Any]:
    return lambda data: {name: value for name, value in data.items() if name != key}


def _with(**fields: Any) -> Callable[[Any], Any]:
    return lambda data: data | fields


DAMAGE: dict[str, tuple[str, Callable[[Path], object]]] = {
    "half a zip": ("findings.npz", lambda p: write_damaged(p, p.read_bytes()[:5000])),
    "not a zip": ("reconstructions.npz", lambda p: write_damaged(p, b"hello")),
    "a pickle": ("novelty.npz", lambda p: np.savez(p, closest=np.array([{}], dtype=object), allow_pickle=True)),
    "NaN scores": ("findings.npz", lambda p: edit_arrays(p, scores=np.full((3, 6), np.nan, np.float32))),
    "scores of another game": ("findings.npz", lambda p: edit_arrays(p, scores=np.zeros((3, 4), np.float32))),
    "another frame size": ("findings.npz", lambda p: edit_arrays(p, states=np.zeros((3, 4, 64, 64, 3), np.uint8))),
    "float frames": ("findings.npz", lambda p: edit_arrays(p, states=np.zeros((3, 4, 84, 84, 3), np.float32))),
    "fewer states": ("novelty.npz", lambda p: edit_arrays(p, closest=np.zeros((2, 4, 84, 84, 3), np.uint8))),
    "samples of another size": ("samples.npz", lambda p: edit_arrays(p, states=np.zeros((2, 4, 64, 64, 3), np.uint8))),
    "no measures": ("samples.json", lambda p: p.unlink()),
    "no agreement": ("fidelity.json", lambda p: edit(p, _without("same_action"))),
    "half a JSON": ("goggles.json", lambda p: write_damaged(p, p.read_bytes()[:40])),
    "not a JSON object": ("model.json", lambda p: write_damaged(p, b"[]")),
    "a missing field": ("model.json", lambda p: edit(p, _without("equation"))),
    "a text for a number": ("summary.json", lambda p: edit(p, _with(epsilon="0.1"))),
    "NaN in JSON": ("summary.json", lambda p: edit(p, _with(epsilon=float("nan")))),
    "a difference of the wrong sign": (
        "goggles.json",
        lambda p: edit(p, _with(difference={"mean": 0.34, "low": -0.1, "high": 0.9})),
    ),
    "unknown scores": ("subject.json", lambda p: edit(p, lambda d: d | {"agent": d["agent"] | {"scores_are": "logits"}})),
    "bytes that are not text": ("findings.json", lambda p: write_damaged(p, b"\xff\xfe\xff")),
}


@pytest.mark.parametrize("recorded", [True, False], ids=["with a fitting record", "with the old record"])
@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_named_and_the_old_report_is_kept(run: Path, kind: str, recorded: bool) -> None:
    name, damage = DAMAGE[kind]
    path = next((run / "store").rglob(name))
    record = (path.parent / "entry.json").read_bytes()
    damage(path)
    if recorded and path.exists():
        update_record(path.parent)  # so that the sizes of the files are as recorded
    else:
        (path.parent / "entry.json").write_bytes(record)
    output = run.parent / "report.html"
    output.write_text("the old one")
    with pytest.raises(RunError) as caught:
        report_of(run, output)
    assert name in str(caught.value)
    assert str(path.parent) in str(caught.value)
    assert caught.value.expected
    assert "run the same command again" in caught.value.todo
    assert output.read_text() == "the old one"
    assert not list(run.parent.glob(".*tmp"))


@pytest.mark.parametrize(
    "name", ["subject.json", "summary.json", "model.json", "fidelity.json", "samples.json", "goggles.json", "findings.json"]
)
def test_newer_schemas_are_refused(run: Path, name: str) -> None:
    edit(next((run / "store").rglob(name)), _with(schema=9))
    with pytest.raises(SchemaError, match=rf"{name} has schema 9 of a newer weakspot"):
        load_run(run)


def test_incomplete_targets_and_missing_run_folders_are_refused(run: Path, tmp_path: Path) -> None:
    (run / "synthesize/t-minus/findings.json").unlink()
    with pytest.raises(RunError, match=r"synthesize/t-minus is damaged: findings\.json is missing"):
        load_run(run)
    with pytest.raises(RunError, match=r"has no run\.json"):
        load_run(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match=r"has no run\.json"):
        load_run(tmp_path / "empty")


def test_a_run_without_its_store_is_refused(run: Path, tmp_path: Path) -> None:
    shutil.move(run / "store", tmp_path / "elsewhere")
    with pytest.raises(RunError, match="the result of subject is not in") as caught:
        load_run(run)
    assert "move both" in caught.value.todo


@pytest.mark.slow
def test_detail_is_reduced_to_limit_the_size(
    example: Path, page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {"full": int(page.stat().st_size * 0.75), "small": int(page.stat().st_size * 0.3)}
    monkeypatch.setattr(build, "MAX_BYTES", limits)
    for size, limit in limits.items():
        write_report(load_run(example), tmp_path / "smaller.html", size)  # type: ignore[arg-type]
        assert (tmp_path / "smaller.html").stat().st_size <= limit
    monkeypatch.setattr(build, "MAX_BYTES", {"small": 1})
    write_report(load_run(example), tmp_path / "least.html", "small")
    assert "10 more states are left out to keep the file small" in (tmp_path / "least.html").read_text()


def test_text_has_enough_contrast_in_both_themes() -> None:
    css = (files("weakspot.report") / "static/report.css").read_text()
    light, dark = (
        dict(re.findall(r"--([a-z]+): (#[0-9a-f]{3,6})", block)) for block in re.findall(r":root \{(.*?)\}", css, re.S)[:2]
    )
    for theme in (light, dark):
        for background in ("page", "panel"):
            for text in ("ink", "soft", "real", "synthesised", "reconstructed", "poor"):
                assert _contrast(theme[text], theme[background]) >= 4.5, (text, background, theme[text], theme[background])


def _contrast(one: str, two: str) -> float:
    def luminance(colour: str) -> float:
        digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
        parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(two)), reverse=True)
    return (high + 0.05) / (low + 0.05)


# in a browser


def keys(driver: Any, *pressed: str) -> None:
    from selenium.webdriver import ActionChains

    for key in pressed:
        ActionChains(driver).send_keys(key).perform()


def test_browser_shows_everything_without_errors_or_requests(chromium: Any, page: Path) -> None:
    open_page(chromium, page)
    assert chromium.get_log("browser") == []
    images = chromium.execute_script(
        "document.querySelectorAll('details').forEach(d => { d.open = true; });"
        "return [...document.images].map(i => [i.naturalWidth, i.naturalHeight, i.className, i.hasAttribute('alt')])"
    )
    assert len(images) > 40
    assert {(w, h) for w, h, kind, _ in images if kind == "strip"} == {
        (k * 84, 84) for k in (4, 1, 6)
    }  # stacks, differences, paths
    assert {(w, h) for w, h, kind, _ in images if kind == "saliency"} == {(84, 84)}
    assert all(alt for *_, alt in images)
    loaded = chromium.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
    assert [name for name in loaded if not name.startswith("data:")] == []


@pytest.fixture(scope="module")
def page_of_many_actions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    run = make_example(folder / "run", SEAQUEST, "q-values", states=9, reconstructions=1)
    return report_of(run, folder / "report.html")


@pytest.mark.parametrize("width", [390, 1000, 1280])
def test_nothing_overflows(chromium: Any, page: Path, page_of_many_actions: Path, width: int) -> None:
    for path in (page, page_of_many_actions):
        open_page(chromium, path, width)
        chromium.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        script = "return document.documentElement.scrollWidth"
        assert chromium.execute_script(script) <= width


def test_frames_are_enlarged_by_whole_numbers(chromium: Any, page: Path) -> None:
    open_page(chromium, page)
    script = """return [...document.querySelectorAll('main .film')].filter(f => f.offsetParent).map(f =>
        [f.getBoundingClientRect().width / 84, getComputedStyle(f.querySelector('.strip')).imageRendering])"""
    displayed = chromium.execute_script(script)
    assert {scale for scale, _ in displayed} == {1, 2, 3}
    assert {rendering for _, rendering in displayed} == {"pixelated"}


def test_a_stack_plays_on_hover_and_on_focus(chromium: Any, page: Path) -> None:
    from selenium.webdriver import ActionChains, Keys
    from selenium.webdriver.common.actions.action_builder import ActionBuilder

    open_page(chromium, page)
    film = ".gallery .film"
    assert distinct_positions(chromium, film) == 1
    element = chromium.find_element("css selector", film)
    chromium.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", element)
    ActionChains(chromium).move_to_element(element).perform()
    assert distinct_positions(chromium, film) == 4

    open_page(chromium, page)
    away = ActionBuilder(chromium)
    away.pointer_action.move_to_location(2, 2)
    away.perform()
    for _ in range(40):
        keys(chromium, Keys.TAB)
        if chromium.execute_script(f"return document.activeElement === document.querySelector('{film}')"):
            break
    else:
        pytest.fail("the tab key never reached a film")
    assert distinct_positions(chromium, film) == 4


@pytest.mark.parametrize("scripts", ["with JavaScript", "without JavaScript"])
def test_saliency_is_switched_on_and_off(chromium: Any, page: Path, tmp_path: Path, scripts: str) -> None:
    path = page
    if scripts == "without JavaScript":
        path = tmp_path / "plain.html"
        path.write_text(re.sub(r"<script>.*?</script>", "", page.read_text(), flags=re.S))
    open_page(chromium, path)
    switch = chromium.find_element("css selector", ".target .show-saliency")
    script = "return [...document.querySelectorAll('.saliency')].map(i => getComputedStyle(i).opacity)"
    for expected in (True, False):
        chromium.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", switch)
        switch.click()
        time.sleep(0.4)
        opacities = chromium.execute_script(script)
        assert (float(opacities[0]) > 0.5) is expected
        assert float(opacities[-1]) == 0  # of another section


def test_enlarged_states_are_controlled_by_the_keyboard(chromium: Any, page: Path) -> None:
    from selenium.webdriver import Keys

    open_page(chromium, page)
    chromium.execute_script("document.querySelector('.gallery .film').focus()")
    keys(chromium, Keys.ENTER)
    image_script = "return document.querySelector('.screen .strip').src"
    caption_script = "return document.querySelector('.what').textContent"
    source_script = "return document.querySelectorAll('.gallery .card')[{}].querySelectorAll('.strip')[{}].src"
    assert chromium.execute_script("return document.getElementById('lightbox').open")
    assert chromium.execute_script(image_script) == chromium.execute_script(source_script.format(0, 0))
    keys(chromium, "2")
    assert chromium.execute_script("return document.querySelector('.screen').classList.contains('salient')")
    keys(chromium, "3")
    assert chromium.execute_script(image_script) == chromium.execute_script(source_script.format(0, 1))
    keys(chromium, "1", Keys.ARROW_RIGHT)
    assert chromium.execute_script(caption_script) == "T−, state 2 of 11"
    assert chromium.execute_script(image_script) == chromium.execute_script(source_script.format(1, 0))
    assert distinct_positions(chromium, ".screen") == 4
    keys(chromium, Keys.ESCAPE)
    assert not chromium.execute_script("return document.getElementById('lightbox').open")
    assert chromium.execute_script("return document.activeElement === document.querySelector('.gallery .film')")
    assert chromium.get_log("browser") == []


def test_a_link_to_a_state_opens_it_and_survives_a_reload(chromium: Any, page: Path) -> None:
    from selenium.webdriver import Keys

    caption = "return document.querySelector('.what').textContent"
    opened = "return document.getElementById('lightbox').open"
    open_page(chromium, page, address="#t-minus-3")
    assert chromium.execute_script(opened) and chromium.execute_script(caption) == "T−, state 3 of 11"
    keys(chromium, Keys.ARROW_RIGHT)
    assert chromium.current_url.endswith("#t-minus-4")
    chromium.refresh()
    assert chromium.execute_script(opened) and chromium.execute_script(caption) == "T−, state 4 of 11"
    keys(chromium, Keys.ESCAPE)
    assert chromium.current_url == page.as_uri()
    chromium.refresh()
    assert not chromium.execute_script(opened)
    for address in ("#made", "#nothing", "#%3Cscript%3E"):
        open_page(chromium, page, address=address)
        assert not chromium.execute_script(opened)
    assert chromium.get_log("browser") == []


def test_the_path_of_a_search_is_scrubbed_by_the_keyboard(chromium: Any, page: Path) -> None:
    from selenium.webdriver import Keys

    open_page(chromium, page, address="#t-minus-1")
    assert [view.text.split("\n")[0] for view in chromium.find_elements("css selector", ".views button")] == [
        "synthesised", "synthesised + saliency", "closest real state", "what differs", "path of the search",
    ]  # fmt: skip
    keys(chromium, "5")
    scrub = chromium.find_element("css selector", ".scrub input")
    assert scrub.get_attribute("max") == "6"
    scrub.send_keys(Keys.HOME)
    told = "return document.querySelector('.scrub output').textContent"
    place = "return getComputedStyle(document.querySelector('.screen .strip')).transform"
    assert chromium.execute_script(told) == "step 1"
    seen = {chromium.execute_script(place)}
    scrub.send_keys(Keys.ARROW_RIGHT)
    assert chromium.execute_script(told) == "step 31"
    seen.add(chromium.execute_script(place))
    scrub.send_keys(Keys.END)
    assert chromium.execute_script(told) == "the draw at the end"
    seen.add(chromium.execute_script(place))
    assert len(seen) == 3
    keys(chromium, "4")
    assert chromium.execute_script("return document.querySelector('.scrub').hidden"), "a single frame has nothing to scrub"


def test_a_loss_and_its_rescue_are_enlarged_and_scrubbed(chromium: Any, tmp_path: Path) -> None:
    from selenium.webdriver import Keys

    page = report_of(SHIPPED, tmp_path / "report.html")
    open_page(chromium, page)
    clip = chromium.find_element("css selector", ".clips button.film.clip")
    clip.click()
    assert chromium.execute_script("return document.getElementById('lightbox').open")
    told = chromium.find_element("css selector", ".copy").text
    assert told == chromium.find_element("css selector", "#clips-1 figcaption").get_attribute("textContent")
    scrub = chromium.find_element("css selector", ".scrub input")
    scrub.send_keys(Keys.HOME)
    moment = "return document.querySelector('.scrub output').textContent"
    assert chromium.execute_script(moment) == "the start"
    scrub.send_keys(Keys.END)
    assert chromium.execute_script(moment).startswith("after ")
    views = [view.text.split("\n")[0] for view in chromium.find_elements("css selector", ".views button")]
    assert views[:2] == ["as it acts", "rescue"]
    keys(chromium, "2")
    assert chromium.find_element("css selector", ".copy").text != told
    scrub.send_keys(Keys.HOME, Keys.ARROW_RIGHT)
    assert "given" in chromium.execute_script(moment)
    keys(chromium, Keys.ESCAPE)
    open_page(chromium, page, address="#clips-1")
    assert chromium.execute_script("return document.getElementById('lightbox').open")
    assert chromium.get_log("browser") == []


def test_how_a_number_was_got_is_said_on_focus(chromium: Any, page: Path) -> None:
    open_page(chromium, page)
    script = """const how = document.querySelector('.figures .how'); how.focus();
        return [document.activeElement === how, getComputedStyle(how, '::after').content, how.textContent]"""
    focused, bubble, text = chromium.execute_script(script)
    assert focused and "mean over 6 whole episodes" in bubble and "mean over 6 whole episodes" in text


def test_states_are_filtered(chromium: Any, page: Path, tmp_path: Path) -> None:
    path = tmp_path / "filters.html"  # the example has no twins: give it the filters of a run that has
    filters = """<div class="filters" hidden><select data-filter="kind"><option value="">all</option><option>edited</option>
        </select><input type="number" data-filter="distance"><output></output></div><div class="gallery">"""
    html = page.read_text().replace('<div class="gallery">', filters, 1)
    for place, (kind, distance) in enumerate((("edited", "0.2"), ("edited", "0.9"), ("recorded", "0.1")), start=1):
        before = f'id="t-minus-{place}" data-kind="none" data-verdict="" data-distance=""'
        assert before in html
        html = html.replace(before, f'id="t-minus-{place}" data-kind="{kind}" data-verdict="" data-distance="{distance}"')
    path.write_text(html)
    open_page(chromium, path)
    shown = "return [...document.querySelectorAll('#target-t-minus .card')].filter(c => c.offsetParent).map(c => c.id)"
    assert len(chromium.execute_script(shown)) == 8
    chromium.find_element("css selector", "[data-filter=kind]").send_keys("edited")
    assert chromium.execute_script(shown) == ["t-minus-1", "t-minus-2"]
    assert chromium.find_element("css selector", ".filters output").text == "2 of 8 shown"
    chromium.find_element("css selector", "[data-filter=distance]").send_keys("0.5")
    assert chromium.execute_script(shown) == ["t-minus-1"]


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_roles_names_and_contrast_are_right(
    chromium: Any, page: Path, width: int, dark: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    open_page(chromium, page, width, dark=dark)
    save_screenshot(chromium, tmp_path_factory, f"report-{width}")
    assert violations(chromium) == []
    open_page(chromium, page, width, dark=dark, address="#t-minus-2")
    save_screenshot(chromium, tmp_path_factory, f"report-state-{width}")
    assert violations(chromium) == []


def test_a_printed_report_shows_everything(chromium: Any, page: Path) -> None:
    open_page(chromium, page)
    printed = base64.b64decode(chromium.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"])
    assert printed.startswith(b"%PDF") and len(re.findall(rb"/Type\s*/Page\b", printed)) > 3


def test_hostile_names_are_escaped(chromium: Any, run: Path) -> None:
    def change(subject: Any) -> Any:
        names = [HOSTILE, *"bcdef"]
        changed = {part: subject[part] | {"action_names": names} for part in ("agent", "environment")}
        return subject | changed | {"agent": changed["agent"] | {"name": HOSTILE}}

    edit(run / "subject/subject.json", change)
    edit(run / "goggles/goggles.json", _with(note=HOSTILE))
    hostile = {"description": HOSTILE, "title": HOSTILE, "target": HOSTILE, "energy_equation": HOSTILE}
    edit(run / "synthesize/t-minus/findings.json", _with(**hostile))
    page = report_of(run, run.parent / "hostile.html")
    open_page(chromium, page)
    assert chromium.title == f"Weaknesses of {HOSTILE}"
    assert chromium.execute_script("return document.querySelectorAll('script').length") == 1
    assert chromium.execute_script("return document.querySelectorAll('img[src=x]').length") == 0
    assert HOSTILE in chromium.find_element("css selector", "#trust").text
    assert chromium.find_element("css selector", "h1").text == f"Weaknesses of {HOSTILE}"
    assert chromium.get_log("browser") == []


def test_injected_style_sheets_do_nothing(chromium: Any, page: Path, tmp_path: Path) -> None:
    path = tmp_path / "styled.html"
    path.write_text(page.read_text().replace("</main>", "<style>h1 { display: none; }</style></main>"))
    open_page(chromium, path)
    assert chromium.find_element("css selector", "h1").is_displayed()


def test_injected_scripts_do_not_run(chromium: Any, page: Path, tmp_path: Path) -> None:
    path = tmp_path / "injected.html"
    path.write_text(page.read_text().replace("</main>", "<script>document.title = 'broken'</script></main>"))
    open_page(chromium, path)
    assert chromium.title != "broken"
