"""Files with code: refused without ``--trust``, and loaded with it."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from canary import Canary
from changed_records import change_record
from noise import images
from torch import nn

from weakspot.agents.base import Perceiver
from weakspot.agents.load import load_agent
from weakspot.artifacts.run import load_run
from weakspot.cli import main
from weakspot.envs.observation import gray_observation
from weakspot.errors import AgentError, SaliencyError, WeakspotError, WeightsError
from weakspot.report.build import write_report
from weakspot.saliency.rules import saliency
from weakspot.stages.listing import LISTING
from weakspot.system.provenance import full_file_digest

torch.set_num_threads(1)
PONG = "PongNoFrameskip-v4"


class Network(nn.Module):
    """Logits and a value."""

    def __init__(self, activation: type[nn.Module] = nn.ReLU) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(4, 3, 8, stride=8), activation(), nn.Flatten())
        self.actor, self.critic = nn.Linear(300, 6), nn.Linear(300, 1)

    def forward(self, observation: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.features(observation / 255)
        return self.actor(features), self.critic(features)


def exported(network: nn.Module, path: Path) -> Path:
    batch = ({0: torch.export.Dim.DYNAMIC},)
    torch.export.save(torch.export.export(network.eval(), (images(2),), dynamic_shapes=batch), path)
    return path


def scripted(network: nn.Module, path: Path) -> Path:
    torch.jit.script(network).save(path)
    return path


def pickled(network: nn.Module, path: Path) -> Path:
    torch.save(network, path)
    return path


KINDS = {".pt2": exported, ".pt": scripted, ".ts": scripted, ".pth": pickled}


@pytest.fixture
def network() -> Network:
    torch.manual_seed(3)
    return Network()


@pytest.mark.filterwarnings("ignore")  # TorchScript is deprecated
@pytest.mark.parametrize("suffix", KINDS)
def test_trusted_code_is_loaded(suffix, network, tmp_path):
    path = KINDS[suffix](network, tmp_path / f"{PONG}{suffix}")
    with pytest.raises(WeightsError):
        load_agent(str(path))
    agent = load_agent(str(path), trust=True)
    observation = images().requires_grad_()
    output = agent(observation)
    logits, value = network(observation)
    torch.testing.assert_close(output.scores, logits.log_softmax(dim=1))
    torch.testing.assert_close(output.value, value[:, 0])
    (gradient,), (expected,) = (
        torch.autograd.grad(values.sum(), observation) for values in (output.value, network(observation)[1])
    )
    torch.testing.assert_close(gradient, expected)
    assert agent.spec.environment == PONG and agent.spec.acts == "sampled"


@pytest.mark.filterwarnings("ignore")
def test_networks_with_other_weights_have_other_fingerprints(network, tmp_path):
    """Even if the weights were frozen into the code."""
    fingerprints = []
    for number in range(2):
        network.actor.bias.data += 1.0
        frozen = torch.jit.freeze(torch.jit.script(network.eval()))
        frozen.save(tmp_path / f"{number}.pt")
        fingerprints.append(load_agent(str(tmp_path / f"{number}.pt"), environment=PONG, trust=True).spec.fingerprint)
    assert fingerprints[0] != fingerprints[1]


@pytest.mark.filterwarnings("ignore")
def test_saliency_is_guided_for_exported_networks_and_the_gradient_for_scripts(network, tmp_path):
    state = torch.rand(2, 12, 84, 84, generator=torch.Generator().manual_seed(1))
    plain = pickled(network, tmp_path / f"{PONG}.pth")
    expected = saliency(Perceiver(load_agent(str(plain), trust=True), gray_observation), state)
    out = load_agent(str(exported(network, tmp_path / f"{PONG}.pt2")), trust=True)
    torch.testing.assert_close(saliency(Perceiver(out, gray_observation), state), expected)
    script = load_agent(str(scripted(network, tmp_path / f"{PONG}.pt")), trust=True)
    with pytest.raises(SaliencyError, match="--saliency gradient"):
        saliency(Perceiver(script, gray_observation), state)
    gradient = saliency(Perceiver(script, gray_observation, "gradient"), state)
    observation = gray_observation(state).requires_grad_()
    (expected,) = torch.autograd.grad(network(observation)[0].log_softmax(dim=1).amax(dim=1).sum(), observation)
    torch.testing.assert_close(gradient, expected.abs())


class Gated(nn.Module):
    """A network with a ReLU that is not an operation of its own in the graph."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Network()
        self.inner.features[1] = nn.Identity()

    def forward(self, observation: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self.inner.features(observation / 255)
        hidden = hidden * (hidden > 0)
        return self.inner.actor(hidden), self.inner.critic(hidden)


@pytest.mark.parametrize("suffix", [".pth", ".pt2"])
def test_saliency_refuses_an_exported_network_if_it_refuses_the_network(suffix, tmp_path):
    agent = load_agent(str(KINDS[suffix](Gated(), tmp_path / f"{PONG}{suffix}")), trust=True)
    with pytest.raises(SaliencyError, match="compares activations"):
        saliency(Perceiver(agent, gray_observation), torch.rand(1, 12, 84, 84))


NETS = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4 * 84 * 84, 6)

    def forward(self, observation):
        return self.layer(observation.flatten(1) / 255)

if __name__ == "__main__":
    import nets
    torch.save(nets.Net(), "PongNoFrameskip-v4.pth")
"""


def test_classes_are_imported_from_the_folder_of_the_file_and_are_part_of_the_fingerprint(tmp_path):
    (tmp_path / "nets.py").write_text(NETS)
    subprocess.run([sys.executable, "nets.py"], cwd=tmp_path, check=True)
    path = str(tmp_path / f"{PONG}.pth")
    command = f"from weakspot.agents.load import load_agent; print(load_agent({path!r}, trust=True).spec.fingerprint)"
    fingerprints = []
    for divisor in ("255", "127"):
        (tmp_path / "nets.py").write_text(NETS.replace("255", divisor))
        process = subprocess.run([sys.executable, "-c", command], check=True, capture_output=True, text=True)
        fingerprints.append(process.stdout)
    assert fingerprints[0] != fingerprints[1]
    (tmp_path / "nets.py").unlink()
    with pytest.raises(WeightsError, match=r"(?s)nets.*next to it"):
        load_agent(str(tmp_path / f"{PONG}.pth"), trust=True)


def test_a_whole_network_without_trust_gives_a_hint(network, tmp_path):
    with pytest.raises(WeightsError, match="--trust"):
        load_agent(str(pickled(network, tmp_path / f"{PONG}.pth")))


def test_a_smooth_network_has_a_gradient(tmp_path):
    smooth = load_agent(str(pickled(Network(nn.Tanh), tmp_path / f"{PONG}.pth")), trust=True)
    state = torch.rand(1, 12, 84, 84)
    with pytest.raises(SaliencyError, match="Tanh"):
        saliency(Perceiver(smooth, gray_observation), state)
    assert saliency(Perceiver(smooth, gray_observation, "gradient"), state).sum() > 0


def test_no_code_is_run_without_trust(network, tmp_path):
    canary = tmp_path / "canary"
    path = exported(network, tmp_path / f"{PONG}.pt2")
    content = io.BytesIO()
    torch.save([Canary(canary)], content)
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(path, "w") as file:
        for name, old in members.items():
            file.writestr(name, content.getvalue() if "sample_inputs" in name else old)
    with pytest.raises(WeightsError, match="--trust"):
        load_agent(str(path))
    torch.save({"network": Canary(canary)}, tmp_path / f"{PONG}.pth")
    with pytest.raises(WeightsError):
        load_agent(str(tmp_path / f"{PONG}.pth"))
    assert not canary.exists()
    with pytest.raises(WeightsError, match="holds a dict"):
        load_agent(str(tmp_path / f"{PONG}.pth"), trust=True)
    assert canary.exists(), "the canary works"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", [".pt2", ".pt"])
def test_damaged_code_is_refused(suffix, network, tmp_path):
    path = KINDS[suffix](network, tmp_path / f"{PONG}{suffix}")
    path.write_bytes(path.read_bytes()[:2_000])
    with pytest.raises(WeightsError, match="complete file"):
        load_agent(str(path), trust=True)


def test_trust_does_not_change_files_of_weights(network, tmp_path):
    torch.save(network.state_dict(), tmp_path / f"{PONG}.pt")
    for trust in (True, False):
        with pytest.raises(WeightsError, match="no known agent"):
            load_agent(str(tmp_path / f"{PONG}.pt"), trust=trust)


def test_a_network_exported_with_a_fixed_batch_size_is_refused(network, tmp_path):
    for size in (1, 5):
        torch.export.save(torch.export.export(network.eval(), (images(size),)), tmp_path / f"{PONG}.pt2")
        with pytest.raises(AgentError, match="in batches of any size"):
            load_agent(str(tmp_path / f"{PONG}.pt2"), trust=True)


# --- run folders from other people -----------------------------------------------------------------------------------

RUN = [
    *(
        "--targets",
        "T-",
        "--policy-values.tau",
        "0.5",
        "--collect.frames",
        "240",
        "--collect.streams",
        "2",
        "--saliency",
        "gradient",
    ),
    *("--train.steps", "4", "--train.prior-steps", "2", "--train.workers", "1", "--train.checkpoint-every", "0.01"),
    *("--synthesize.states", "2", "--synthesize.steps", "3", "--synthesize.candidates", "8"),
    *("--goggles.episodes", "0", "--fidelity.reconstructions", "2"),
    *("--ground.states", "0", "--confirm.controls", "0"),
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The folder of a run of a scripted agent."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(3)
    torch.jit.script(Network()).save(folder / f"{PONG}.pt")
    assert main(["run", "--agent", str(folder / f"{PONG}.pt"), "--trust", "--output", str(folder / "run"), *RUN]) == 0
    return folder


def test_report_of_trusted_code_shows_the_command(finished):
    page = re.sub(r"<[^>]*>", "", (finished / "run" / "report.html").read_text())
    assert "--trust" in page and "--saliency gradient" in page


def saved_array(trap: Canary) -> bytes:
    content = io.BytesIO()
    np.save(content, np.array([trap], dtype=object), allow_pickle=True)
    return content.getvalue()


def saved_arrays(trap: Canary) -> bytes:
    content = io.BytesIO()
    names = ("action", "scores", "states", "real", "closest", "energy", "target")
    np.savez(content, **{name: np.array([trap], dtype=object) for name in names}, allow_pickle=True)
    return content.getvalue()


def saved_by_torch(trap: Canary) -> bytes:
    content = io.BytesIO()
    torch.save({"made_of": trap}, content)
    return content.getvalue()


TRAPS = {
    "collect/frames-00000.npy": saved_array,
    "collect/steps-00000.npz": saved_arrays,
    "saliency/saliency.npy": saved_array,
    "train/checkpoint.pt": saved_by_torch,
    "train/prior.pt": saved_by_torch,
    "train/model.safetensors": saved_by_torch,
    "fidelity/reconstructions.npz": saved_arrays,
    "samples/samples.npz": saved_arrays,
    "synthesize/t-minus/findings.npz": saved_arrays,
    "novelty/t-minus/novelty.npz": saved_arrays,
}


def test_the_traps_cover_every_file_that_could_hold_a_pickle(finished):
    run = load_run(finished / "run")
    names = {f"{name}/{file}" for name, entry in run.entries.items() for file in entry.record.files}
    kinds = {".npy", ".npz", ".pt", ".safetensors"}
    assert {name for name in names if Path(name).suffix in kinds and "-0000" not in name} <= set(TRAPS)


def rewrite_checksums(trapped: Path) -> None:
    """Updates the checksums, as an attacker would; they do not protect against code."""
    shard, size = trapped.parent / "shard-00000.json", trapped.stat().st_size
    if shard.exists():
        crc32 = zlib.crc32(trapped.read_bytes())
        change_record(
            shard,
            lambda index: (
                index | {"crc32": index["crc32"] | {trapped.name: crc32}, "sizes": index["sizes"] | {trapped.name: size}}
            ),
        )

    def updated(record: dict[str, Any]) -> dict[str, Any]:
        changed = [path for path in (trapped, shard) if path.name in record["files"]]
        files = {path.name: {"size": path.stat().st_size, "sha256": full_file_digest(path)} for path in changed}
        return record | {"files": record["files"] | files}

    change_record(trapped.parent / "entry.json", updated)


@pytest.mark.parametrize("name", TRAPS)
def test_no_code_in_a_run_folder_is_run(name, finished, tmp_path, capsys):
    """Neither by resuming the run, nor by reusing its results, nor by writing the report."""
    canary = tmp_path / "canary"
    run = Path(shutil.copytree(finished / "run", tmp_path / "run", symlinks=True))
    trapped = (run / name).parent.resolve() / Path(name).name
    trapped.write_bytes(TRAPS[name](Canary(canary)))
    stage, order = name.partition("/")[0], list(LISTING)
    if trapped.suffix == ".pt":  # these files are only read if the model is not finished
        for file in ("entry.json", "model.json", "model.safetensors"):
            (trapped.parent / file).unlink()
    else:
        rewrite_checksums(trapped)
    for later in order[order.index(stage) + 1 :]:
        shutil.rmtree(run / "store" / later, ignore_errors=True)
    code = main(["run", "--agent", str(finished / f"{PONG}.pt"), "--trust", "--output", str(run), *RUN])
    complaint = capsys.readouterr().err if code else ""
    trapped.parent.mkdir(exist_ok=True)
    trapped.write_bytes(TRAPS[name](Canary(canary)))
    try:
        write_report(load_run(run), tmp_path / "report.html")
    except WeakspotError as error:
        complaint += str(error)
    assert not canary.exists()
    assert trapped.name in complaint or trapped.suffix == ".pt", "otherwise the trap was not read"
