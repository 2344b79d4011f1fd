"""No file that a scenario reads can make it run code."""

from __future__ import annotations

import ast
import pickle
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from torch import nn
from torch.distributed.checkpoint import CheckpointException
from torch.distributed.checkpoint.metadata import Metadata

from scenarios.chapter.roundtrip import checkpoint, exported, formats

cpu = torch.device("cpu")
RAN: list[str] = []


def ran(what: str) -> str:
    RAN.append(what)
    return what


class Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return ran, ("it",)


@pytest.fixture(autouse=True)
def _untouched() -> Any:
    RAN.clear()
    yield
    assert not RAN


def test_the_trap_is_one(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Trap()))
    assert RAN == ["it"]
    torch.save({"a": Trap()}, tmp_path / "it")
    torch.load(tmp_path / "it", weights_only=False)
    assert RAN == ["it", "it"]
    RAN.clear()


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("trap", [Trap(), {"a": Trap()}, {"a": torch.ones(2), "b": Trap()}])
def test_a_file_of_torch_save_runs_nothing(trap: Any, mmap: bool, tmp_path: Path) -> None:
    torch.save(trap, tmp_path / "it")
    with pytest.raises(pickle.UnpicklingError):
        formats.load_torch(tmp_path / "it", cpu, mmap=mmap)


def test_a_pickle_is_no_file_of_safetensors(tmp_path: Path) -> None:
    (tmp_path / "it").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(SafetensorError, match="header"):
        formats.load_safetensors(tmp_path / "it", cpu)


class Sneaks(Metadata):
    """An index that has a trap somewhere."""


@pytest.mark.parametrize(
    "index",
    [
        Trap(),
        {"a": Trap()},
        Metadata({}, storage_data=Trap()),
        Metadata({}, planner_data={"a": Trap()}),
        Sneaks({}),
        subprocess.Popen,
        "no index",
    ],
)
def test_the_index_of_a_checkpoint_runs_nothing(index: Any, tmp_path: Path) -> None:
    room = {"a": torch.zeros(2)}
    checkpoint.save({"a": torch.ones(2)}, tmp_path / "it")
    (tmp_path / "it" / ".metadata").write_bytes(pickle.dumps(index))
    with pytest.raises(CheckpointException, match="index of"):
        checkpoint.load(room, tmp_path / "it")
    assert not room["a"].any()


def test_an_entry_that_is_no_tensor_is_never_unpickled(tmp_path: Path) -> None:
    """PyTorch itself would, without limits."""
    checkpoint.save({"a": Trap()}, tmp_path / "it")
    with pytest.raises(CheckpointException, match="BytesStorageMetadata"):
        checkpoint.load({"a": torch.zeros(2)}, tmp_path / "it")


def test_a_tensor_of_a_checkpoint_that_is_something_else_runs_nothing(tmp_path: Path) -> None:
    checkpoint.save({"a": torch.ones(2)}, tmp_path / "it")
    (data,) = (tmp_path / "it").glob("*.distcp")
    torch.save(Trap(), data)
    index = pickle.loads((tmp_path / "it" / ".metadata").read_bytes())
    index.storage_data = {
        name: replace(place, length=data.stat().st_size) for name, place in index.storage_data.items()
    }
    (tmp_path / "it" / ".metadata").write_bytes(pickle.dumps(index))
    with pytest.raises(CheckpointException, match="Weights only load failed"):
        checkpoint.load({"a": torch.zeros(2)}, tmp_path / "it")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, exported.Digest, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    net, x = nn.Sequential(nn.Linear(4, 3), nn.ReLU()).eval(), torch.randn(2, 4)
    path = tmp_path_factory.mktemp("program") / "net.pt2"
    return path, exported.save(net, (x,), path), x, net(x).detach()


def test_only_the_very_program_that_was_written_is_loaded(program: Any, tmp_path: Path) -> None:
    path, digest, x, due = program
    assert torch.equal(exported.load(path, digest)(x), due)
    good = path.read_bytes()
    for number, other in enumerate((good[:-1] + bytes([good[-1] ^ 1]), good + b"\0", b"", pickle.dumps(Trap()))):
        (tmp_path / f"{number}").write_bytes(other)
        with pytest.raises(ValueError, match="could run any code"):
            exported.load(tmp_path / f"{number}", digest)


FRESH = """
import sys, torch
inputs = torch.load(sys.argv[2], weights_only=True)
print(torch.equal(torch.export.load(sys.argv[1]).module()(inputs["x"]), inputs["due"]), "tests" in sys.modules)
try:
    torch.load(sys.argv[3], weights_only=False)
except (AttributeError, ModuleNotFoundError) as error:
    print(type(error).__name__)
"""


def test_a_program_needs_no_class_in_another_process_and_a_pickle_does(
    program: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _, x, due = program
    torch.save({"x": x, "due": due}, tmp_path / "inputs")
    mine = ModuleType("mine")  # another process has no such module
    mine.Own = type("Own", (nn.Linear,), {"__module__": "mine"})
    monkeypatch.setitem(sys.modules, "mine", mine)
    torch.save(mine.Own(2, 2), tmp_path / "pickled")  # with its architecture, as the name of a class
    told = subprocess.run(
        [sys.executable, "-c", FRESH, str(path), str(tmp_path / "inputs"), str(tmp_path / "pickled")],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stdout.split() == ["True", "False", "ModuleNotFoundError"]


def calls(path: Path) -> Iterator[tuple[str, str]]:
    """What a module calls, and with what."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), ast.unparse(node)


@pytest.mark.parametrize("package", ["harness", "scenarios", "launch", "reports"])
def test_no_module_unpickles_in_another_way(package: str) -> None:
    root = Path(__file__).parents[3]
    told = {(str(path.relative_to(root)), *call) for path in (root / package).rglob("*.py") for call in calls(path)}
    unsafe = {"pickle.load", "pickle.loads", "pickle.Unpickler", "torch.jit.load", "torch.export.load", "np.load"}
    safe = {"scenarios/chapter/roundtrip/exported.py"}  # see above
    assert not {(where, name) for where, name, _ in told if name in unsafe and where not in safe}
    assert all("weights_only=True" in text for _, name, text in told if name == "torch.load")
