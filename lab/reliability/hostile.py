"""Agent files that are broken or hostile, in all formats; loading them may raise errors of weakspot and nothing else."""

from __future__ import annotations

import io
import json
import pickle
import random
import resource
import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from lab.reliability.onnx_bombs import onnx_bombs, valid_onnx
from lab.reliability.sandbox import Forked
from weakspot.agents import zoo
from weakspot.agents.formats.actor_critic import ActorCriticNetwork
from weakspot.agents.formats.cleanrl import DqnNetwork
from weakspot.agents.load import load_agent
from weakspot.agents.tensors.header import read_header
from weakspot.agents.tensors.weights import read_weights
from weakspot.errors import WeakspotError

PONG = "PongNoFrameskip-v4"
ADDRESS_SPACE = 12 << 30
"""Bytes that the process may map, so that a file that asks for everything does not take the machine down."""
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1e308, float("nan"), float("inf"), 10**30, "", "x" * 5000, "a\ud800", "\x1b[2J", [], [1], [[[]]], {},
    {"a": {}}, "nan", "[1e400]", [4, 10**6, 10**6], [-4, 84, 84], [0, 0, 0], ["A"] * 3000,
)  # fmt: skip
"""Values that stand where something else is expected."""


class Canary:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[Path]]:
        return Path.touch, (self.path,)


@dataclass
class Hostile:
    """What the files did.

    Attributes:
        files: their number, and by the kind of their making.
        accepted: files that were loaded, because their change did not matter.
        tracebacks, executed: files that ended in an unexpected exception, and files whose code ran.
        peak_mb: the most memory that loading one of them took, in addition to that of the process before.
    """

    files: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    accepted: int = 0
    tracebacks: list[str] = field(default_factory=list)
    executed: list[str] = field(default_factory=list)
    peak_mb: float = 0.0


def load_hostile(folder: Path, count: int, seed: int = 0) -> Hostile:
    """Makes at least ``count`` files, loads each in a process of its own, and reports what happened."""
    folder.mkdir(parents=True, exist_ok=True)
    canary, result = folder / "canary", Hostile()
    generator, makers = random.Random(seed), list(_files(folder, canary, random.Random(seed)))
    rounds = 0
    while result.files < count:
        missing = count - result.files - (0 if rounds else len(makers))
        changed = _mutations(folder, generator, max(missing, 0 if rounds else count // 6))
        for kind, path in [*(makers if not rounds else []), *changed]:
            result.files += 1
            result.kinds[kind] = result.kinds.get(kind, 0) + 1
            outcome = Forked(lambda path=path: load(path), folder / "log.txt").wait(300)
            name = f"{kind} {path.name}"
            if outcome.code == 0:
                result.accepted += 1
            elif outcome.code != 2 or "Traceback" in outcome.output:
                result.tracebacks.append(f"{name}: exit code {outcome.code}: {outcome.output[-300:]}")
            if canary.exists():
                canary.unlink()
                result.executed.append(name)
            result.peak_mb = max(result.peak_mb, _taken(outcome.output))
            if path.is_file():
                path.unlink()
        rounds += 1
    return result


def load(path: Path) -> int:
    """Loads a file as an agent of Pong and prints how much memory that took; returns 0, or 2 after an error of weakspot."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    before = _resident()
    try:
        load_agent(str(path), environment=PONG)
        return 0
    except WeakspotError as error:
        if len(str(error)) > 20_000:
            raise AssertionError(f"the message has {len(str(error)):,} characters") from None
        return 2
    finally:
        print(f"\ntaken {max(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before, 0):.1f} MB", flush=True)


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def _taken(output: str) -> float:
    last = output.rstrip().rpartition("\ntaken ")[2] if "\ntaken " in output else ""
    return float(last.split()[0]) if last else 0.0


def _valid(folder: Path) -> dict[str, bytes]:
    """A small valid file of each format, by its name."""
    policy = io.BytesIO()
    torch.save(_q_weights(), policy)
    state = io.BytesIO()
    torch.save(ActorCriticNetwork(6).state_dict(), state)
    whole = io.BytesIO()
    torch.save([ActorCriticNetwork(6), None], whole)
    legacy = io.BytesIO()
    torch.save(ActorCriticNetwork(6).state_dict(), legacy, _use_new_zipfile_serialization=False)
    clean = io.BytesIO()
    torch.save({"model_weights": DqnNetwork(6).state_dict(), "args": {"env_id": PONG}}, clean)
    return {
        "sb3.zip": _zip(_settings(), policy.getvalue()),
        "card.safetensors": zoo.path("pong-double-dqn").read_bytes(),
        "state.pt": state.getvalue(),
        "whole.pt": whole.getvalue(),
        "legacy.pt": legacy.getvalue(),
        "dqn.cleanrl_model": clean.getvalue(),
        "state.safetensors": save(ActorCriticNetwork(6).state_dict()),
        **valid_onnx(),
    }


def _settings() -> dict[str, Any]:
    return {
        "policy_kwargs": {},
        "observation_space": {"_shape": [4, 84, 84], "dtype": "uint8", "low": "[0]", "high": "[255]"},
        "action_space": {"n": "6"},
    }


def _q_weights() -> dict[str, torch.Tensor]:
    sizes = {"0": (32, 4, 8, 8), "2": (64, 32, 4, 4), "4": (64, 64, 3, 3)}
    weights = {f"q_net.features_extractor.cnn.{i}.weight": torch.zeros(size) for i, size in sizes.items()}
    weights |= {f"q_net.features_extractor.cnn.{i}.bias": torch.zeros(size[0]) for i, size in sizes.items()}
    linear = {"q_net.features_extractor.linear.0": nn.Linear(3136, 64), "q_net.q_net.0": nn.Linear(64, 6)}
    return weights | {f"{name}.{part}": value for name, one in linear.items() for part, value in one.state_dict().items()}


def _zip(settings: Any, weights: bytes, **more: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("data", settings if isinstance(settings, bytes) else json.dumps(settings))
        archive.writestr("policy.pth", weights)
        for name, content in more.items():
            archive.writestr(name, content)
    return file.getvalue()


def _mutations(folder: Path, generator: random.Random, count: int) -> Iterator[tuple[str, Path]]:
    """Valid files with flipped bytes, cut ends, repeated and exchanged parts."""
    valid = _valid(folder)
    for number in range(max(count, 0)):
        name = generator.choice(list(valid))
        data = bytearray(valid[name])
        way = generator.choice(("flip", "cut", "overwrite", "insert", "head"))
        place = generator.randrange(min(len(data), 4096) if generator.random() < 0.7 else len(data))
        if way == "flip":
            data[place] ^= 1 << generator.randrange(8)
        elif way == "cut":
            del data[place:]
        elif way == "overwrite":
            data[place : place + 8] = generator.choice((b"\xff" * 8, b"\0" * 8, generator.randbytes(8)))
        elif way == "insert":
            data[place:place] = generator.randbytes(generator.randrange(1, 64))
        else:
            del data[: generator.randrange(1, 64)]
        path = folder / f"{way}-{number}-{name}"
        path.write_bytes(data)
        yield f"{way} {name}", path


def _files(folder: Path, canary: Path, generator: random.Random) -> Iterator[tuple[str, Path]]:
    """Files made by hand: odd values in every place, bombs, loops, links between tensors, and code."""
    number = 0

    def write(kind: str, suffix: str, content: bytes) -> tuple[str, Path]:
        nonlocal number
        number += 1
        path = folder / f"made-{number}{suffix}"
        path.write_bytes(content)
        return kind, path

    header = read_header(zoo.path("pong-double-dqn")).metadata
    card, tensors = json.loads(header["weakspot"]), read_weights(zoo.path("pong-double-dqn"))[0]
    small = {name: tensor[:1].contiguous() for name, tensor in tensors.items()}
    for key in card:
        for value in ODD:
            yield write("odd card", ".safetensors", save(small, {"weakspot": json.dumps(card | {key: value})}))
    policy = io.BytesIO()
    torch.save(_q_weights(), policy)
    places = [(name, None) for name in _settings()]
    places += [(name, key) for name, part in _settings().items() for key in (*part, "features_extractor_class")]
    for outer, inner in places:
        for value in ODD:
            settings = _settings()
            if inner is None:
                settings[outer] = value
            else:
                settings[outer][inner] = value
            yield write("odd sb3 settings", ".zip", _zip(settings, policy.getvalue()))
    for value in ODD:
        yield write("odd sb3 settings", ".zip", _zip(value, policy.getvalue()))
        for suffix in (".pt", ".cleanrl_model"):
            for content in (value, {"model_weights": value}, {"network.9.weight": value, "actor.weight": value}):
                file = io.BytesIO()
                torch.save(content, file)
                yield write("odd torch content", suffix, file.getvalue())
    for kind, content in odd_tensors():
        for suffix in (".pt", ".cleanrl_model"):
            file = io.BytesIO()
            torch.save(content, file)
            yield write(f"odd tensors: {kind}", suffix, file.getvalue())
    yield from (write(kind, suffix, content) for kind, suffix, content in bombs())
    yield from (write(kind, suffix, content) for kind, suffix, content in _code(canary))
    yield from _trainings(folder)


def odd_tensors() -> Iterator[tuple[str, Any]]:
    """Contents of files of ``torch.save`` that are no weights of any network."""
    weights = ActorCriticNetwork(6).state_dict()
    loop: dict[str, Any] = {}
    loop["a"] = loop
    ring = nn.Module()
    ring._modules["x"] = ring
    tower: Any = torch.ones(1)
    for _ in range(60):
        tower = {"a": tower, "b": tower}
    wide = nn.Module()
    for _ in range(40):
        outer = nn.Module()
        outer._modules.update({"a": wide, "b": wide})
        wide = outer
    yield "sparse", {name: tensor.to_sparse() for name, tensor in weights.items()}
    yield "meta", {name: tensor.to("meta") for name, tensor in weights.items()}
    yield "expanded", {"x": torch.zeros(1).half().expand(1 << 40)}
    yield "expanded weights", {name: torch.zeros(1).half().expand(tensor.shape) for name, tensor in weights.items()}
    yield "one storage", {f"x{i}": torch.zeros(1 << 20)[: (1 << 20) - i] for i in range(2)} | _shared()
    yield "complex", {name: tensor.to(torch.complex64) for name, tensor in weights.items()}
    yield "bool", {name: tensor.bool() for name, tensor in weights.items()}
    yield "float8", {name: tensor.to(torch.float8_e4m3fn) for name, tensor in weights.items()}
    yield "NaN", {name: tensor * float("nan") for name, tensor in weights.items()}
    yield "quantised", {"x": torch.quantize_per_tensor(torch.ones(4), 0.1, 0, torch.qint8)}
    yield "numbers", {name: 1 for name in weights}
    yield "scalars", {name: torch.tensor(1.0) for name in weights}
    yield "contains itself", loop
    yield "dicts inside dicts", tower
    yield "module inside itself", ring
    yield "modules inside modules", wide
    yield "no tensors", {}
    yield "names that are not text", {1: torch.ones(2), None: torch.ones(2)}
    yield "escapes in names", {"\x1b]0;owned\x07\x1b[2J": torch.ones(1)}
    yield "surrogates in names", {"a\udcff": torch.ones(1)}


def _shared() -> dict[str, torch.Tensor]:
    storage = torch.zeros(1 << 16)
    return {f"y{i}": storage.view(-1)[:] for i in range(2000)}


def bombs(megabytes: int = 1_100) -> Iterator[tuple[str, str, bytes]]:
    """Small files that ask for much memory: kind, suffix and content. Compressed ones grow to ``megabytes``."""
    zeros = b"\0" * (1 << 20)
    for name in ("data", "policy.pth"):
        file = io.BytesIO()
        with (
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
            archive.open(name, "w", force_zip64=True) as member,
        ):
            for _ in range(megabytes):
                member.write(zeros)
        if name == "policy.pth":
            with zipfile.ZipFile(file, "a") as archive:
                archive.writestr("data", json.dumps(_settings()))
        yield f"bomb in {name}", ".zip", file.getvalue()
    plain, packed = io.BytesIO(), io.BytesIO()
    torch.save({"x": torch.zeros(1 << 8)}, plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for info in source.infolist():
            content = source.read(info)
            archive.writestr(info.filename, zeros * megabytes if "/data/" in info.filename else content)
    for suffix in (".pt", ".cleanrl_model"):
        yield "bomb in a torch file", suffix, packed.getvalue()
        yield "memo of nine bytes", suffix, b"\x80\x02Nr" + struct.pack("<I", 1 << 28) + b"."
        yield "bytes that are announced", suffix, b"\x80\x05\x96" + struct.pack("<Q", 1 << 33) + b"."
        yield "frame that is announced", suffix, b"\x80\x04\x95" + struct.pack("<Q", 1 << 40) + b"."
        yield "text that is announced", suffix, b"\x80\x04\x8d" + struct.pack("<Q", 1 << 40) + b"."
        yield "deep pickle", suffix, b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b"."
        yield "doubled lists", suffix, b"\x80\x02]" + b"2" * 100_000 + b"."
    yield from ((f"ONNX: {kind}", ".onnx", content) for kind, content in onnx_bombs(megabytes))
    for depth in (1_000, 100_000):
        yield "deep JSON", ".zip", _zip(b"[" * depth + b"]" * depth, b"")
        head = (b'{"__metadata__":{"weakspot":"' + b"[" * depth + b'"}}').ljust(8)
        yield "deep JSON in a card", ".safetensors", struct.pack("<Q", len(head)) + head
    for length in (0, 1, 1 << 20, 1 << 40, (1 << 64) - 1):
        yield "length of a header", ".safetensors", struct.pack("<Q", length) + b"{}"
    for shape in ([1 << 40], [1 << 62, 4], [-1], [0], ["a"]):
        head = json.dumps({"x": {"dtype": "F32", "shape": shape, "data_offsets": [0, 4]}}).encode()
        yield "shape in a header", ".safetensors", struct.pack("<Q", len(head)) + head + b"\0" * 4


def _code(canary: Path) -> Iterator[tuple[str, str, bytes]]:
    trap = Canary(canary)
    weights = ActorCriticNetwork(6).state_dict()
    saved = io.BytesIO()
    torch.save({**weights, "x": trap}, saved)
    whole = io.BytesIO()
    torch.save([trap, ActorCriticNetwork(6)], whole)
    script = io.BytesIO()
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), script)
    for suffix in (".pt", ".pth", ".cleanrl_model", ".zip", ".safetensors", ".pkl", ".pt2", ".bin"):
        for content in (saved.getvalue(), whole.getvalue(), script.getvalue()):
            yield "code in a torch file", suffix, content
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            yield "pickle", suffix, pickle.dumps(trap, protocol)
    settings = _settings()
    settings["policy_class"] = {":type:": "x", ":serialized:": pickle.dumps(trap).hex()}
    yield "pickle in settings", ".zip", _zip(settings, saved.getvalue())
    yield "pickle as weights", ".zip", _zip(settings, pickle.dumps(trap))


def _trainings(folder: Path) -> Iterator[tuple[str, Path]]:
    """Folders of trainings with RL Zoo whose settings are odd."""
    doubled = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{after}: &{after} [{','.join(['*' + before] * 10)}]\n"
        for before, after in zip("abcdefghi", "bcdefghij", strict=True)
    )
    texts = [
        doubled + "normalize: *j\n", doubled + "env_wrapper: *j\n", "a: &a [*a]\nnormalize: *a\n", "[" * 10_000,
        "!!python/object/apply:os.system ['touch canary']", "normalize: !!python/name:os.system", "", "- a", "3", "a: b: c",
        "\0", "\x1b[2J", "x: &x {<<: *x}", "? [a]\n: b", "env_wrapper: 3", "env_wrapper: {a: 1}", "frame_stack: .inf",
        "x: 9" + "9" * 5000, "y: 2001-99-99", "z: !!binary =", "x: 0o9", "x: 1:99:99:99", "!!set {a, b}", "!!omap [a]",
    ]  # fmt: skip
    for number, text in enumerate(texts):
        for name in ("args.yml", "config.yml"):
            training = folder / f"zoo-{number}-{name.partition('.')[0]}_1"
            inner = training / PONG
            inner.mkdir(parents=True, exist_ok=True)
            (training / "best_model.zip").write_bytes(b"")
            for other in ("args.yml", "config.yml"):
                (inner / other).write_text(text if other == name else f"env: {PONG}\n")
            yield "odd settings of RL Zoo", training
