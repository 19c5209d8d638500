"""The explorer: who may use it, its answers, games and searches, and what was kept."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from weakspot.artifacts.kept import kept_ids, read_kept
from weakspot.artifacts.run import load_run
from weakspot.errors import ConfigError, EditError
from weakspot.explore.access import Access
from weakspot.explore.game import Game
from weakspot.explore.live_search import LiveSearch, Region
from weakspot.explore.studio import Studio
from weakspot.explore.tab import between
from weakspot.search.config import SynthesisConfig

testing = pytest.importorskip("fastapi.testclient", reason="the extra explore is not installed")
PORT = 8765
ACCESS = Access(PORT, "secret-token")
ORIGIN = {"origin": f"http://127.0.0.1:{PORT}"}


@pytest.fixture(scope="module")
def run_folder(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(finished_run, tmp_path_factory.mktemp("explored") / "run", symlinks=True))


@pytest.fixture(scope="module")
def studio(run_folder: Path) -> Studio:
    return Studio(load_run(run_folder), trust=False)


@pytest.fixture(scope="module")
def client(studio: Studio) -> Iterator[Any]:
    from weakspot.explore.app import create_app

    with ThreadPoolExecutor(1) as worker:
        app = create_app(studio.run, lambda: studio, ACCESS, worker)
        with testing.TestClient(app, base_url=f"http://127.0.0.1:{PORT}") as client:
            yield client


class Socket:
    """A tab of the explorer, without a browser."""

    def __init__(self, client: Any, headers: dict[str, str] = ORIGIN) -> None:
        self._context = client.websocket_connect(f"ws://127.0.0.1:{PORT}/socket", headers=headers)
        self._socket = self._context.__enter__()
        self._number = 0

    def ask(self, do: str, **fields: Any) -> Any:
        answer = self.try_to(do, **fields)
        assert "error" not in answer, answer
        return answer

    def try_to(self, do: str, **fields: Any) -> Any:
        self._number += 1
        self._socket.send_text(json.dumps({"id": self._number, "do": do, **fields}))
        answer = json.loads(self._socket.receive_text())
        assert answer["id"] == self._number
        return answer

    def send(self, text: str) -> Any:
        self._socket.send_text(text)
        return json.loads(self._socket.receive_text())

    def close(self) -> None:
        self._context.__exit__(None, None, None)


@pytest.fixture
def tab(client: Any) -> Iterator[Socket]:
    client.cookies.set(ACCESS.cookie, ACCESS.token)
    socket = Socket(client)
    yield socket
    socket.close()


# who may use it


@pytest.mark.parametrize(
    ("headers", "cookies", "token", "origin_needed", "allowed"),
    [
        ({"host": "127.0.0.1:8765"}, {}, "secret-token", False, True),
        ({"host": "localhost:8765", "origin": "http://localhost:8765"}, {ACCESS.cookie: "secret-token"}, "", True, True),
        ({"host": "127.0.0.1:8765"}, {}, "", False, False),
        ({"host": "127.0.0.1:8765"}, {}, "secret-tokem", False, False),
        ({"host": "127.0.0.1:8765"}, {"weakspot-9": "secret-token"}, "", False, False),
        ({"host": "evil.example:8765"}, {}, "secret-token", False, False),
        ({"host": "127.0.0.1:80"}, {}, "secret-token", False, False),
        ({"host": "127.0.0.1:8765", "origin": "http://evil.example"}, {}, "secret-token", False, False),
        ({"host": "127.0.0.1:8765", "origin": "http://localhost:8765"}, {}, "secret-token", True, False),
        ({"host": "127.0.0.1:8765", "origin": "null"}, {}, "secret-token", False, False),
        ({"host": "127.0.0.1:8765"}, {ACCESS.cookie: "secret-token"}, "", True, False),
        ({}, {}, "secret-token", False, False),
        ({"host": "127.0.0.1:8765"}, {}, "ä\udc80".encode("utf-8", "surrogateescape").decode("latin-1"), False, False),
    ],
)
def test_only_pages_of_this_server_with_the_token_are_answered(
    headers: dict[str, str], cookies: dict[str, str], token: str, origin_needed: bool, allowed: bool
) -> None:
    assert ACCESS.allows(headers, cookies, token, origin_needed=origin_needed) is allowed


def test_requests_without_the_token_or_from_elsewhere_get_nothing(client: Any) -> None:
    from starlette.websockets import WebSocketDisconnect

    client.cookies.clear()
    for path in ("/", "/report", "/static/main.js", "/nothing"):
        assert client.get(path).status_code == 403
    assert client.get("/?token=secret-token", headers={"host": "evil.example:8765"}).status_code == 403
    with pytest.raises(WebSocketDisconnect):
        Socket(client)
    page = client.get("/?token=secret-token")
    assert page.status_code == 200 and "HttpOnly" in page.headers["set-cookie"] and "strict" in page.headers["set-cookie"]
    assert client.get("/static/main.js").headers["content-type"].startswith("text/javascript")
    assert client.get("/report").status_code == 200
    for path in ("/static/nothing.js", "/static/..%2fapp.py", "/static/index.html", "/docs", "/openapi.json"):
        assert client.get(path).status_code == 404, path
    with pytest.raises(WebSocketDisconnect):
        Socket(client, {"origin": "http://evil.example"})
    policy = page.headers["content-security-policy"]
    assert "unsafe" not in policy and "default-src 'none'" in policy


# states and moves


def test_a_state_is_opened_and_moved(tab: Socket, studio: Studio) -> None:
    hello = tab.ask("hello")
    assert hello["actions"] == list(studio.run.environment.action_names)
    sources = {source["name"]: source["count"] for source in hello["sources"]}
    assert sources["finding/t-minus"] == 3 and sources["recorded"] > 0
    states = tab.ask("list", source="finding/t-minus")["states"]
    assert [state["state"] for state in states] == [f"finding/t-minus/{i}" for i in range(3)]
    opened = tab.ask("open", state="finding/t-minus/1")
    assert opened["scores"] == pytest.approx(studio.run.findings["T-"].scores[1].tolist(), abs=1e-4)
    names = [direction["name"] for direction in opened["directions"]]
    assert "principal-0" in names and "action-0" in names
    moved = tab.ask("move", amounts={"principal-0": 2.0}, saliency=True)
    assert moved["picture"] != opened["picture"] and moved["saliency"].startswith("data:image/")
    assert tab.ask("move", amounts={"principal-0": 0.0})["picture"] == opened["picture"]
    recorded = next(state["state"] for state in tab.ask("list", source="recorded")["states"])
    opened = tab.ask("open", state=recorded)
    assert opened["real"] != opened["picture"] and opened["place"]["playable"]


def test_the_direction_of_an_action_raises_its_score_most(tab: Socket) -> None:
    before = np.array(tab.ask("open", state="finding/t-minus/0")["scores"])
    for number in range(3):
        after = np.array(tab.ask("move", amounts={f"action-{number}": 0.2})["scores"])
        gain = (after - after.mean()) - (before - before.mean())
        others = [
            np.array(tab.ask("move", amounts={f"action-{other}": 0.2})["scores"]) for other in range(6) if other != number
        ]
        assert gain[number] > 0
        assert all(gain[number] >= (o[number] - o.mean()) - (before[number] - before.mean()) - 1e-4 for o in others)


def test_a_move_takes_less_than_a_tenth_of_a_second_of_processor_time(tab: Socket) -> None:
    tab.ask("open", state="finding/t-minus/0")
    tab.ask("move", amounts={"principal-0": 0.1})
    started = time.process_time()
    for step in range(10):
        tab.ask("move", amounts={"principal-0": step / 10, "action-1": 0.5})
    assert (time.process_time() - started) / 10 < 0.1


def test_errors_are_in_words_and_leave_the_tab_as_it_was(tab: Socket) -> None:
    for do, fields, seen in (
        ("move", {"amounts": {}}, "no state is open"),
        ("open", {"state": "finding/t-minus/99"}, "there is no state"),
        ("open", {"state": "kept/../../etc"}, "there is no state"),
        ("list", {"source": "nothing"}, "there is no source"),
        ("search-step", {}, "no search"),
        ("play-step", {}, "no game"),
        ("play", {"state": "finding/t-minus/0"}, "there is no way to"),
        ("target", {"target": 'q["UP"] - max(q)'}, "no action 'UP'"),
        ("target", {"target": "/tmp/evil.py:run"}, "is code in a file"),
        ("target", {"target": "T-", "sharpness": -1}, "not understood"),
        ("move", {"amounts": {"principal-0": 1e9}}, "not understood"),
        ("interpolate", {"share": 0.5}, "interpolation needs two states"),
        ("nonsense", {}, "not understood"),
        ("remove", {"name": "../run.json"}, "nothing is kept"),
    ):
        assert seen in tab.try_to(do, **fields)["error"]["seen"], (do, fields)
    for text in ("", "[]", "{", '{"id": []}', '{"id": 1}', '{"id": 1, "do": "move", "amounts": {"a": "b"}}', "\u0000"):
        assert "error" in tab.send(text)
    tab.ask("open", state="finding/t-minus/0")
    assert "there is no direction" in tab.try_to("move", amounts={"sideways": 1.0})["error"]["seen"]
    tab.ask("move", amounts={"principal-0": 1.0})


def test_states_between_two_are_as_far_out_as_they_are(tab: Socket) -> None:
    ends = []
    for end, state in (("a", "finding/t-minus/0"), ("b", "finding/t-minus/2")):
        ends.append(tab.ask("open", state=state)["picture"])
        tab.ask("remember", end=end)
    assert tab.ask("interpolate", share=0.0)["picture"] == ends[0]
    assert tab.ask("interpolate", share=1.0)["picture"] == ends[1]
    one, other = torch.randn(1, 128), 2 * torch.randn(1, 128)
    middle = between(one, other, 0.5)
    assert float(middle.norm()) == pytest.approx(float(one.norm() + other.norm()) / 2, rel=1e-5)
    assert torch.allclose(between(one, one, 0.3), one, atol=1e-4)
    assert torch.allclose(between(one, -one, 0.5), torch.zeros_like(one), atol=1e-5)


# searches


def test_a_search_lowers_the_target_and_its_curve_is_told(tab: Socket) -> None:
    tab.ask("open", state="finding/t-minus/0")
    start = tab.ask("target", target='q["LEFT"] - max(q)')
    tab.ask("search", regulariser=0.0, rate=0.1)
    steps = [tab.ask("search-step", count=5) for _ in range(4)]
    numbers = [point["step"] for step in steps for point in step["search"]]
    assert numbers == list(range(1, 21))
    assert steps[-1]["search"][-1]["target"] < start["energy"]
    assert tab.ask("settle")["energy"] is not None


def test_a_held_region_stays_as_it_is(studio: Studio) -> None:
    target, scale = studio.target('q["LEFT"] - max(q)', 10.0)
    start = studio.latent_of(studio.states.find("finding/t-minus/0"))
    height, width = studio.run.environment.height, studio.run.environment.width
    mask = torch.zeros(height, width)
    mask[: height // 2] = 1
    held = []
    for weight in (0.0, 1e5):
        config = SynthesisConfig(learning_rate=0.3, regulariser=0.0, start_sigma=1e-4)
        search = LiveSearch(studio.model, studio.perceive, target, scale, start, config, Region(mask, weight))
        steps = [search.step() for _ in range(30)]
        assert steps[-1].energy < steps[0].energy or weight
        held.append(steps[-1].held)
    assert held[1] < 0.5 * held[0]
    before, after = (studio.decoded(latent)[0].astype(float) for latent in (start, steps[-1].latent))
    assert np.abs(after - before)[:, : height // 2].mean() < held[0] + 0.5  # rounded to whole levels


def test_regions_of_another_size_are_refused(tab: Socket) -> None:
    tab.ask("open", state="finding/t-minus/0")
    assert "there is no target" in tab.try_to("search")["error"]["seen"]
    tab.ask("target", target="T-")
    assert "a region of 3 pixels" in tab.try_to("search", region="101")["error"]["seen"]
    assert tab.ask("search", region="1" * 84 + "0" * 83 * 84)["held"] == 84


# games


def recorded(studio: Studio) -> Any:
    return list(studio.states.list("recorded"))[8]


def test_a_game_continues_a_recorded_state_bit_for_bit(studio: Studio) -> None:
    place = recorded(studio)
    assert place.route is not None
    game, dataset = Game(studio.player(), studio.agent, place), studio.session.dataset
    at = place.route.start
    for number in range(at, at + 3):
        shot = game.step(int(dataset.action[number]))
        assert np.array_equal(shot.stack, dataset.stacks(np.array([number + 1]))[0])
    assert game.actions == [int(action) for action in dataset.action[at : at + 3]]
    with pytest.raises(ConfigError):
        game.step(17)


def test_a_change_of_a_variable_is_shown_and_taken_back(studio: Studio) -> None:
    game = Game(studio.player(), studio.agent, recorded(studio))
    game.step(0)
    before = game.shot()
    names = [variable.name for variable, _ in game.variables]
    score = names.index("byte 14 (own points)")
    view = game.edit({score: 7.0})
    frames = studio.run.environment.frames
    assert view.edited.decision == view.without.decision == before.decision + frames
    assert (view.edited.stack != view.without.stack).any()
    assert game.edits[0].names == ("byte 14 (own points)",)
    undone = game.undo()
    assert np.array_equal(undone.stack, before.stack) and undone.decision == before.decision and not game.edits
    assert np.array_equal(undone.output.scores, before.output.scores)
    assert np.array_equal(game.edit({}).without.stack, view.without.stack)
    game.step(None)
    with pytest.raises(ConfigError, match="no change"):
        game.undo()
    with pytest.raises(EditError, match="a whole number from 0 to 255"):
        game.edit({score: 1.5})
    assert len(game.frames) == len(game.actions) + 1


def test_person_and_agent_play_over_the_socket(tab: Socket, studio: Studio) -> None:
    state = recorded(studio).reference
    start = tab.ask("play", state=state)
    assert start["editable"] and start["shot"]["decision"] == 0
    own = tab.ask("play-step", action=2)["shot"]
    agents = tab.ask("play-step")["shot"]
    assert (own["decision"], agents["decision"]) == (1, 2)
    assert len(tab.ask("variables")["variables"]) == 128
    edited = tab.ask("edit", position=14, value=7)
    assert edited["shot"]["picture"] != edited["without"]["picture"]
    assert "expected" in tab.try_to("edit", position=500, value=60)["error"]
    tab.ask("undo-edit")
    again = tab.ask("play", state=state)["shot"]
    assert again["picture"] == start["shot"]["picture"]


# what was kept


def test_what_was_kept_is_on_the_disk_at_once_and_in_the_report(
    tab: Socket, client: Any, studio: Studio, run_folder: Path
) -> None:
    hostile = "<script>document.title='broken'</script> \u202e & \"note\""
    tab.ask("open", state="finding/t-minus/1")
    tab.ask("move", amounts={"principal-0": 1.0})
    kept = tab.ask("keep", what="state", note=hostile)["kept"]
    tab.ask("play", state=recorded(studio).reference)
    for action in (2, None, 3):
        tab.ask("play-step", action=action)
    unchanged = tab.ask("keep", what="game", note="")["kept"]
    going_on = tab.ask("play", state=f"kept/{unchanged['name']}")["shot"]  # a kept game goes on from its end
    assert going_on["picture"] and going_on["decision"] == 0
    tab.ask("remove", name=unchanged["name"])
    tab.ask("play", state=recorded(studio).reference)
    for action in (2, None, 3):
        tab.ask("play-step", action=action)
    tab.ask("edit", position=14, value=7)
    clip = tab.ask("keep", what="game", note="")["kept"]
    environment = studio.run.environment
    state = read_kept(run_folder, kept["name"], environment)
    assert state.record.note == hostile and "principal 1" in state.record.origin and state.record.latent
    game = read_kept(run_folder, clip["name"], environment)
    assert len(game.record.actions) == 3 + environment.frames == len(game.frames) - 1
    assert game.record.edits[0].decision == 3 and game.record.edits[0].changes == {14: 7.0}
    assert np.array_equal(game.frames[-1], game.state[-1])

    other = Socket(client)  # another tab sees it, opens it, and changes its note
    assert {one["name"] for one in other.ask("kept")["kept"]} == {kept["name"], clip["name"]}
    assert other.ask("open", state=f"kept/{kept['name']}")["scores"] == pytest.approx(state.scores.tolist(), abs=1e-5)
    other.ask("note", name=clip["name"], note="changed")
    other.close()
    assert [one["note"] for one in tab.ask("kept")["kept"] if one["name"] == clip["name"]] == ["changed"]

    from weakspot.report.build import write_report

    write_report(load_run(run_folder), run_folder / "again.html")
    html = (run_folder / "again.html").read_text()
    assert "&lt;script&gt;document.title" in html and hostile not in html
    assert 'id="kept"' in html
    tab.ask("remove", name=clip["name"])
    assert kept_ids(run_folder) == (kept["name"],)
    assert (run_folder / "kept" / "removed" / clip["name"] / "kept.json").exists()


def test_the_report_is_written_again_when_something_was_kept(run_folder: Path) -> None:
    from weakspot.artifacts.kept import kept_digest

    before = kept_digest(run_folder)
    record = run_folder / "kept" / kept_ids(run_folder)[0] / "kept.json"
    record.write_text(record.read_text().replace("principal", "Principal"))
    assert kept_digest(run_folder) != before


@given(st.binary(max_size=40))
def test_any_bytes_get_an_answer(content: bytes) -> None:
    from weakspot.explore.app import _answer

    class Nothing:
        def answer(self, request: Any) -> Any:
            return {}

    assert "id" in json.loads(_answer(Nothing(), content.decode("latin-1")))  # type: ignore[arg-type]
