"""The registry of agent formats, formats of other packages, and which files an agent consists of."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import get_args

import pytest
import torch
from noise import images
from safetensors import safe_open
from safetensors.torch import save_file

from weakspot.agents import zoo
from weakspot.agents.formats import card as cards
from weakspot.agents.formats import registry
from weakspot.agents.formats.actor_critic import ActorCriticNetwork
from weakspot.agents.formats.card_record import AgentKind, Card
from weakspot.agents.formats.registry import FORMATS, AgentFormat, format_for
from weakspot.agents.formats.sb3_files import zip_of
from weakspot.agents.load import load_agent
from weakspot.agents.networks.dueling import DuelingNetwork
from weakspot.agents.reference import files_of
from weakspot.agents.tensors.header import read_header
from weakspot.errors import ExtensionError, MismatchError, WeightsError
from weakspot.games import action_names
from weakspot.system.registry import Registry

PONG = "PongNoFrameskip-v4"
SOURCE = Path(zoo.__file__).parents[3]

# --- the built-in formats --------------------------------------------------------------------------------------------


def test_built_in_formats_are_loaded_by_name_and_have_that_name():
    assert FORMATS.names()[:8] == ("factory", "trusted", "rl-zoo", "cleanrl", "onnx", "sb3", "card", "actor-critic")
    for name in FORMATS.builtin:
        assert isinstance(FORMATS.load(name), AgentFormat) and FORMATS.load(name).name == name


def test_all_kinds_of_cards_have_a_network():
    assert tuple(cards.KINDS) == get_args(AgentKind)


@pytest.fixture(scope="module")
def references(tmp_path_factory) -> dict[str, str]:
    """A reference for each built-in format, of files that are as small as a format can recognise."""
    folder = tmp_path_factory.mktemp("references")
    (folder / "DQN_1" / PONG).mkdir(parents=True)
    (folder / "DQN_1" / PONG / "args.yml").touch()
    for name in ("a.cleanrl_model", "b.zip"):
        (folder / name).touch()
    torch.save(torch.nn.Linear(2, 2), folder / "whole.pth")
    weights = ActorCriticNetwork(6).state_dict()
    torch.save(weights, folder / "acktr.pt")
    save_file(weights, folder / "acktr.safetensors")
    card = Card("tiny", PONG, "compact", action_names(PONG), (4, 84, 84))
    cards.export(DuelingNetwork(6, "compact").state_dict(), card, folder / "own.safetensors")
    return {
        "mine.py:agent": "factory",
        str(folder / "whole.pth"): "trusted",
        str(folder / "DQN_1"): "rl-zoo",
        str(folder / "a.cleanrl_model"): "cleanrl",
        str(folder / "b.zip"): "sb3",
        str(folder / "own.safetensors"): "card",
        "pong-double-dqn": "card",
        str(folder / "acktr.pt"): "actor-critic",
        str(folder / "acktr.safetensors"): "actor-critic",
    }


@pytest.mark.parametrize("trust", [True, False])
def test_each_reference_has_its_format(references, trust):
    recognised = {reference: format_for(reference, trust) for reference in references}
    names = {reference: None if found is None else found.name for reference, found in recognised.items()}
    expected = {reference: name if trust or name != "trusted" else None for reference, name in references.items()}
    assert names == expected


@pytest.mark.parametrize(
    "content", [b"", b"{}", bytes(8), struct.pack("<Q", 1 << 40), struct.pack("<Q", 2) + b"[]", b"\x80\x02}."]
)
@pytest.mark.parametrize("suffix", ["safetensors", "pt", "pt2", "pkl", "toml", "py"])
def test_files_of_no_format_are_recognised_by_none(tmp_path, content, suffix):
    path = tmp_path / f"file.{suffix}"
    path.write_bytes(content)
    assert format_for(str(path), False) is None


@pytest.mark.parametrize("reference", ["", ".", "nothing", "nothing.zip", "nothing.cleanrl_model", "~", "a/b.pt2"])
def test_missing_files_are_recognised_by_no_format(reference, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert format_for(reference, True) is None


# --- formats of other packages ---------------------------------------------------------------------------------------

THEIR_PACKAGE = """
from pathlib import Path

from torch import nn
from weakspot.agents.build import agent_from_network
from weakspot.errors import WeightsError
from weakspot.games import interface

class TheirFormat:
    name = "theirs"

    def recognises(self, reference, trust):
        return reference.startswith("their/")

    def load(self, reference, *, environment, device, trust):
        Path("arguments").write_text(f"{reference} {environment} {device} {trust}")
        network = nn.Sequential(nn.Flatten(), nn.Linear(4 * 84 * 84, 6))
        return agent_from_network(network, interface("pong"), name="their agent", device=device)

class RecognisesAll(TheirFormat):
    def recognises(self, reference, trust):
        Path("asked").write_text(reference)
        return True

class FailsToRecognise(TheirFormat):
    def recognises(self, reference, trust):
        raise ZeroDivisionError("in recognises")

class FailsToLoad(TheirFormat):
    def load(self, reference, *, environment, device, trust):
        raise ZeroDivisionError("in load")

class Refuses(TheirFormat):
    def load(self, reference, *, environment, device, trust):
        raise WeightsError("the file is damaged")

class LoadsNothing(TheirFormat):
    def load(self, reference, *, environment, device, trust):
        return None

theirs, recognises_all, fails_to_recognise = TheirFormat(), RecognisesAll(), FailsToRecognise()
fails_to_load, refuses, loads_nothing, number = FailsToLoad(), Refuses(), LoadsNothing(), 3
"""


def install(folder: Path, entry_points: str) -> Path:
    """Writes a package with agent formats, as pip would install it, and returns the folder for ``sys.path``.

    Args:
        folder: a new subfolder of it is used.
        entry_points: lines ``name = module:attribute``.
    """
    packages = folder / "packages"
    info = packages / "their_package-1.0.dist-info"
    info.mkdir(parents=True)
    (packages / "their_package.py").write_text(THEIR_PACKAGE)
    (packages / "their_broken_package.py").write_text("import no_such_module")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[weakspot.agent_formats]\n{entry_points}\n")
    return packages


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Installs a package with these entry points for this test, and changes to an empty folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def install_here(entry_points: str) -> None:
        monkeypatch.syspath_prepend(install(tmp_path, entry_points))
        for name in ("their_package", "their_broken_package"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        monkeypatch.setattr(registry, "FORMATS", Registry(FORMATS.group, FORMATS.builtin))

    return install_here


def test_a_format_of_an_installed_package_loads_an_agent(tmp_path):
    packages = install(tmp_path, "theirs = their_package:theirs")
    code = "from weakspot.agents.load import load_agent; print(load_agent('their/agent', environment='pong').spec.name)"
    path = os.pathsep.join([str(packages), str(SOURCE)])
    process = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": path}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert process.stdout == "their agent\n"
    assert (tmp_path / "arguments").read_text() == "their/agent pong cpu False"


def test_the_error_for_a_missing_file_names_the_formats_of_packages_alone(installed):
    with pytest.raises(WeightsError) as caught:
        load_agent("missing.safetensors")
    assert "installed package" not in str(caught.value)
    installed("theirs = their_package:theirs")
    with pytest.raises(WeightsError, match=r"or path\.py:factory, or what an installed package reads: theirs\n"):
        load_agent("missing.safetensors")


def test_the_agents_of_other_packages_are_checked_like_all_others(installed):
    installed("theirs = their_package:theirs")
    assert load_agent("their/agent", trust=True).spec.environment == PONG
    assert Path("arguments").read_text() == "their/agent None cpu True"
    with pytest.raises(MismatchError, match="not on Qbert"):
        load_agent("their/agent", environment="Qbert")
    with pytest.raises(WeightsError, match="no agent is called 'another'"):
        load_agent("another")


def test_built_in_formats_come_first_and_cannot_be_replaced(installed):
    installed("aaa = their_package:recognises_all\ncard = their_package:fails_to_recognise")
    assert load_agent("pong-double-dqn").spec.name == "pong-double-dqn"
    assert not Path("asked").exists() and "their_package" not in sys.modules
    assert load_agent("another").spec.name == "their agent"
    assert Path("asked").read_text() == "another"


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ("their_broken_package:theirs", "cannot be loaded from their_broken_package.*no_such_module"),
        ("their_package:nothing", "cannot be loaded.*nothing"),
        ("their_package:number", "is of type int, which does not implement AgentFormat"),
        ("their_package:TheirFormat", "is of type type, which does not implement AgentFormat"),
        ("their_package:fails_to_recognise", "raised ZeroDivisionError: in recognises"),
        ("their_package:fails_to_load", "raised ZeroDivisionError: in load"),
        ("their_package:loads_nothing", "returned a NoneType"),
    ],
)
def test_a_broken_format_gives_an_error_that_names_it(installed, attribute, message):
    installed(f"theirs = {attribute}")
    with pytest.raises(ExtensionError, match=f"(?s)'theirs'.*{message}"):
        load_agent("their/agent")
    assert load_agent("pong-double-dqn").spec.name == "pong-double-dqn", "other agents can still be loaded"


def test_the_errors_of_another_packages_format_are_passed_on(installed):
    installed("theirs = their_package:refuses")
    with pytest.raises(WeightsError, match="the file is damaged"):
        load_agent("their/agent")


# --- the files of an agent -------------------------------------------------------------------------------------------


def test_file_of_a_shipped_agent(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert files_of("pong-double-dqn") == [zoo.path("pong-double-dqn")]
    Path("pong-double-dqn").mkdir()
    assert files_of("pong-double-dqn") is None, "load_agent would use the folder"
    with pytest.raises(WeightsError, match="is a folder"):
        load_agent("pong-double-dqn")


def test_agents_in_a_single_file_consist_of_that_file(tmp_path):
    for name in ("a.safetensors", "a.SAFETENSORS", "a.cleanrl_model", "a.pt2", "a.pt", "a.ckpt", "a.zip"):
        path = tmp_path / name
        assert files_of(str(path)) is None, "it does not exist"
        path.touch()
        assert files_of(str(path)) == [path]


def test_files_of_expands_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.safetensors").touch()
    assert files_of("~/a.safetensors") == [tmp_path / "a.safetensors"]


def test_a_trusted_pickle_may_depend_on_other_files(tmp_path):
    path = tmp_path / "whole.pth"
    path.touch()
    assert files_of(str(path), trust=True) is None


@pytest.mark.parametrize("reference", ["mine.py:agent", "mine.py", "folder", "their/agent", "nobody", "", "a.their_suffix"])
def test_files_of_other_references_are_unknown(reference, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    for name in ("mine.py", "a.their_suffix"):
        Path(name).touch()
    assert files_of(reference) is None


@pytest.mark.parametrize(
    ("archive", "statistics", "other"),
    [
        ("agent.zip", "vecnormalize.pkl", "vecnormalize_2.pkl"),
        ("agent.zip", "vec_normalize.pkl", "agent.pkl"),
        ("rl_model_100_steps.zip", "rl_model_vecnormalize_100_steps.pkl", "vecnormalize.pkl"),
    ],
)
def test_files_of_a_zip_include_its_statistics(tmp_path, archive, statistics, other):
    for name in (archive, other):
        (tmp_path / name).touch()
    assert files_of(str(tmp_path / archive)) == [tmp_path / archive]
    (tmp_path / statistics).touch()
    assert files_of(str(tmp_path / archive)) == [tmp_path / archive, tmp_path / statistics]


def test_files_of_a_training_folder_include_all_files_that_are_read(tmp_path):
    folder = tmp_path / f"{PONG}_1"
    settings = folder / PONG
    settings.mkdir(parents=True)
    (settings / "args.yml").touch()
    assert files_of(str(folder)) == [settings / "args.yml"], "loading raises an error about the missing agent"
    (settings / "config.yml").touch()
    (settings / "vecnormalize.pkl").touch()
    yml = [settings / "args.yml", settings / "config.yml"]
    for name in ("rl_model_9_steps.zip", "rl_model_10_steps.zip", f"{PONG}.zip", "best_model.zip"):
        (folder / name).touch()
        assert files_of(str(folder)) == [folder / name, *yml], "each is preferred to those before"
        assert zip_of(str(folder)) == folder / name
    (folder / "vecnormalize.pkl").touch()
    assert files_of(str(folder)) == [folder / "best_model.zip", folder / "vecnormalize.pkl", *yml]


# --- without torch ---------------------------------------------------------------------------------------------------

WITHOUT_TORCH = """
import sys, types

package = types.ModuleType("weakspot")
package.__path__ = [sys.argv[1]]
sys.modules["weakspot"] = package  # the modules alone, whatever weakspot/__init__.py imports

from weakspot.agents import zoo
from weakspot.agents.reference import files_of

for name in zoo.names():
    print(name, zoo.card(name).score["mean"], *files_of(name))
print(sorted({"torch", "numpy", "gymnasium", "ale_py", "safetensors"} & {name.split(".")[0] for name in sys.modules}))
"""


def test_agents_are_listed_and_their_files_found_without_torch_and_numpy():
    process = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, str(SOURCE / "weakspot")], check=True, capture_output=True, text=True
    )
    *agents, heavy = process.stdout.splitlines()
    assert agents == [f"{name} {zoo.card(name).score['mean']} {zoo.path(name)}" for name in zoo.names()]
    assert heavy == "[]"


def test_a_header_equals_that_of_safetensors():
    path = zoo.path("pong-double-dqn")
    with safe_open(path, "pt") as file:
        assert read_header(path).metadata == file.metadata()
        assert set(read_header(path).tensors) == set(file.keys())


def test_metadata_may_be_missing(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "plain.safetensors")
    header = read_header(tmp_path / "plain.safetensors")
    assert header.tensors == ("a",) and header.metadata == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "0 bytes"),
        (b"\x02\0\0\0\0\0\0", "the file has 7"),
        (struct.pack("<Q", 1 << 62) + b"{}", "4,611,686,018,427,387,904 bytes"),
        (struct.pack("<Q", 3) + b"{}", "3 bytes, the file has 10"),
        (struct.pack("<Q", 2) + b"[]", "is a list"),
        (struct.pack("<Q", 2) + b"\xff\xff", "cannot be read"),
        (struct.pack("<Q", 1) + b"{", "cannot be read"),
    ],
)
def test_damaged_headers_are_refused(tmp_path, content, message):
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        read_header(path)


def test_a_missing_file_has_no_header(tmp_path):
    with pytest.raises(WeightsError, match="No such file"):
        read_header(tmp_path / "missing.safetensors")


def test_metadata_that_is_not_text_is_ignored(tmp_path):
    content = json.dumps({"__metadata__": {"weakspot": 3, "env": PONG}}).encode()
    (tmp_path / "odd.safetensors").write_bytes(struct.pack("<Q", len(content)) + content)
    assert read_header(tmp_path / "odd.safetensors").metadata == {"env": PONG}


# --- the page of the documentation -----------------------------------------------------------------------------------


def test_the_page_on_own_formats(tmp_path, monkeypatch):
    page = (Path(__file__).parent.parent / "docs" / "frameworks" / "own-format.md").read_text()
    python, toml = (page.split(f"```{language}\n")[1].split("```")[0] for language in ("python", "toml"))
    entry_point = tomllib.loads(toml)["project"]["entry-points"]["weakspot.agent_formats"]
    packages = install(tmp_path, "\n".join(f"{name} = {value}" for name, value in entry_point.items()))
    (packages / "my_package.py").write_text(python)
    monkeypatch.syspath_prepend(packages)
    monkeypatch.setattr(registry, "FORMATS", Registry(FORMATS.group, FORMATS.builtin))
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4 * 84 * 84, 6))
    path = tmp_path / f"{PONG}.linear"
    torch.save(network.state_dict(), path)
    first = load_agent(str(path))
    torch.testing.assert_close(first(images()).scores, network(images()))
    torch.save(network.state_dict(), path, _use_new_zipfile_serialization=False)
    assert load_agent(str(path)).spec.fingerprint != first.spec.fingerprint, "a file may say more than its weights do"
    path.write_bytes(b"")
    with pytest.raises(WeightsError, match="the weights of one layer"):
        load_agent(str(path))
