"""Which Ray cluster a run is to use, and that Ray is there."""

from __future__ import annotations

import importlib.metadata
import tomllib
from pathlib import Path

import pytest

from harness.cli.app import run_app
from harness.common.errors import UsageError
from harness.journal.plan import Side
from harness.journal.run_directory import RunDir
from harness.planning import ray_address
from harness.planning.builder import make
from harness.planning.ray_address import OLDEST, Address, address_of, nodes_of, require_ray, resumed
from harness.planning.request import RunRequest
from harness.world.control import StopRequest
from launch.run import _launcher

HEAD = "10.0.0.1:6379"
BY_OPTION, BY_VARIABLE = Address(HEAD, "--ray-address"), Address(HEAD, "RAY_ADDRESS")


@pytest.mark.parametrize(
    ("option", "variable", "address"),
    [
        (None, None, None),
        (None, "", None),
        (None, "local", None),  # Ray's own word for a cluster of one's own
        ("local", HEAD, None),
        (None, HEAD, BY_VARIABLE),
        (None, "auto", Address("auto", "RAY_ADDRESS")),
        (HEAD, "10.0.0.2:6379", BY_OPTION),
    ],
)
def test_the_option_comes_before_the_variable(
    option: str | None, variable: str | None, address: Address | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if variable is not None:
        monkeypatch.setenv("RAY_ADDRESS", variable)
    assert address_of(option) == address


@pytest.mark.parametrize("launcher", [None, "torchrun", "inline"])
def test_an_address_is_of_use_to_ray_only_but_the_variable_may_be_there_for_others(launcher: str | None) -> None:
    assert nodes_of(BY_VARIABLE, launcher) is None
    with pytest.raises(UsageError, match=f"--ray-address {HEAD} needs --launcher ray"):
        nodes_of(BY_OPTION, launcher)


def test_a_run_goes_on_where_its_cluster_is_now_if_it_has_one() -> None:
    nodes = [{"cpu": 2, "cuda": 0}]
    on_ray = make(RunRequest(names=["split"], launcher="ray", ray_address="10.0.0.9:6379", nodes=nodes))
    local = make(RunRequest(names=["split"], devices="cpu:1"))
    assert resumed(on_ray, BY_VARIABLE).ray_address == resumed(on_ray, BY_OPTION).ray_address == HEAD
    assert resumed(on_ray, None) == on_ray
    assert resumed(local, BY_VARIABLE) == resumed(local, None) == local
    with pytest.raises(UsageError, match="--ray-address applies to runs on an external Ray cluster"):
        resumed(local, BY_OPTION)


def test_without_ray_it_is_one_line_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ray_address, "find_spec", lambda _: None)
    assert run_app(["run", "split", "--launcher", "torchrun,ray", "--out", str(tmp_path / "run")]) == 2
    told = "".join(capfd.readouterr())
    remedy = "pip install 'rankbench[ray]'"
    assert told == f"rankbench: --launcher ray needs Ray, which is not installed; {remedy}\n"
    assert not (tmp_path / "run").exists()


def test_any_folder_called_ray_is_not_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ray").mkdir()
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    monkeypatch.delitem(__import__("sys").modules, "ray", raising=False)
    with pytest.raises(UsageError, match="not installed"):
        require_ray()


@pytest.mark.parametrize(("installed", "fits"), [("2.51.2", False), ("2.52.0", True), ("3.0.0.dev0", True)])
def test_a_ray_whose_clusters_obey_everybody_is_refused(
    installed: str, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_address, "version", lambda _: installed)
    if fits:
        require_ray()
    else:
        with pytest.raises(UsageError, match=r"needs Ray 2\.52 or newer, but 2\.51\.2 is installed"):
            require_ray()


def test_the_oldest_ray_is_the_one_that_is_declared() -> None:
    project = Path(ray_address.__file__).parents[2] / "pyproject.toml"
    declared = tomllib.loads(project.read_text())["project"]["optional-dependencies"]["ray"]
    assert declared == [f"ray>={'.'.join(map(str, OLDEST))}"]
    assert importlib.metadata.version("ray")


def test_a_run_that_goes_on_where_ray_is_not_is_one_line_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ray_address, "find_spec", lambda _: None)
    plan = make(RunRequest(names=["split"], devices="cpu:1"))
    with pytest.raises(UsageError, match="--launcher ray needs Ray, which is not installed"):
        _launcher(Side(name="ray", launcher="ray"), RunDir(tmp_path), plan, StopRequest())
