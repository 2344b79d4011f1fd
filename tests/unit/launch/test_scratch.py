"""The folder for scenarios' files, where several hosts make it at once."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

from harness.common.errors import RankbenchError, RefusedError
from harness.device.device import CpuDevice
from harness.journal.plan import Case
from harness.world.world import World
from launch.processes.cleanup import REMOVED
from launch.processes.scratch import lent, scratch

SUBSTITUTE = f"rankbench-mark-{socket.gethostname()}"


def test_hosts_that_share_a_disk_make_one_folder_at_the_same_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = shutil.rmtree

    def slow(path: Path, **options: Any) -> None:
        remove(path, **options)
        path.mkdir()  # by the other host, which was quicker

    monkeypatch.setattr(shutil, "rmtree", slow)
    with scratch(tmp_path) as folder:
        assert Path(folder).is_dir()
    assert not Path(folder).exists()


def test_a_host_without_the_run_directory_has_a_folder_too_and_keeps_nothing(tmp_path: Path) -> None:
    with scratch(tmp_path / "run") as folder:
        (Path(folder) / "file").touch()
    assert not (tmp_path / "run").exists()


def test_what_else_is_in_the_run_directory_stays(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").touch()
    with scratch(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["journal.jsonl"]


def test_ranks_on_a_host_without_the_disk_share_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("launch.processes.scratch.gettempdir", lambda: str(tmp_path))
    away = tmp_path / "nowhere" / "scratch"
    with lent(away, "gang", first=True) as made, lent(away, "gang", first=False) as seen:
        assert made == seen
        assert Path(made).is_dir()
    assert not Path(made).parent.exists()
    assert not away.exists()


def test_hosts_that_share_their_temporary_files_have_a_folder_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("launch.processes.scratch.gettempdir", lambda: str(tmp_path))
    away = tmp_path / "nowhere" / "scratch"
    with lent(away, "gang", first=True) as mine:
        monkeypatch.setattr(socket, "gethostname", lambda: "another")
        with lent(away, "gang", first=True) as theirs:
            assert mine != theirs and Path(mine).is_dir() and Path(theirs).is_dir()


def test_ranks_on_a_host_with_the_disk_use_the_folder_that_is_there(tmp_path: Path) -> None:
    with lent(tmp_path, "gang", first=True) as folder:
        assert folder == str(tmp_path)
    assert tmp_path.exists()


def test_what_is_protected_against_its_owner_is_removed_and_what_cannot_be_is_given_up() -> None:
    """As somebody without rights of their own: root's remove everything."""
    nobody = {"user": 65534, "group": 65534} if os.getuid() == 0 else {}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        own = Path(folder) / "own"
        made = f"mkdir -p -m 777 {own}"
        subprocess.run(["/bin/sh", "-c", made], check=True)
        told = f"mkdir {own}/run; mkdir {own}/run/shut; touch {own}/run/shut/file; chmod 500 {own}/run/shut {own}/run"
        subprocess.run(["/bin/sh", "-c", told], check=True, **nobody)
        subprocess.run(["/bin/sh", "-c", REMOVED, f"{own}/run"], check=True, timeout=20, **nobody)
        assert not (own / "run").exists()


def test_files_of_scenarios_are_for_their_user_alone(tmp_path: Path) -> None:
    with scratch(tmp_path / "run") as folder:
        assert stat.S_IMODE(Path(folder).stat().st_mode) == 0o700


def test_a_link_in_place_of_the_folder_is_refused_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    precious = tmp_path / "home" / "scratch"
    precious.mkdir(parents=True)
    (precious / "thesis").touch()
    (tmp_path / "scratch").symlink_to(precious)
    with pytest.raises(RankbenchError, match="is a symbolic link"), scratch(tmp_path):
        pass
    assert (precious / "thesis").exists()


@pytest.mark.parametrize("planted", ["link", "folder"])
def test_what_somebody_has_planted_among_temporary_files_is_neither_used_nor_removed(
    planted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("launch.processes.scratch.gettempdir", lambda: str(tmp_path))
    theirs = tmp_path / ("home" if planted == "link" else SUBSTITUTE)
    (theirs / "scratch").mkdir(parents=True)
    (theirs / "scratch" / "thesis").touch()
    if planted == "link":
        (tmp_path / SUBSTITUTE).symlink_to(theirs)
    with (
        pytest.raises(RankbenchError, match=f"{SUBSTITUTE} must not be there"),
        lent(tmp_path / "away", "mark", first=True),
    ):
        pass
    assert (theirs / "scratch" / "thesis").exists()


def test_a_substitute_is_for_its_user_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("launch.processes.scratch.gettempdir", lambda: str(tmp_path))
    with lent(tmp_path / "away", "mark", first=True) as folder:
        assert [stat.S_IMODE(path.stat().st_mode) for path in (Path(folder), Path(folder).parent)] == [0o700] * 2


@pytest.mark.parametrize("planted", ["link", "another's"])
def test_a_folder_that_is_not_the_runs_is_not_used_in_its_place(
    planted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("launch.processes.scratch.gettempdir", lambda: str(tmp_path))
    theirs, away = tmp_path / "theirs", tmp_path / "away"
    theirs.mkdir()
    if planted == "link":
        away.symlink_to(theirs)
    else:
        away.mkdir()
        monkeypatch.setattr(os, "geteuid", lambda: theirs.stat().st_uid + 1)
    with lent(away, "mark", first=True) as folder:
        assert Path(folder).parent.name == SUBSTITUTE


class Hosts:
    """What ranks agree on: before the first of that the other host has removed the folder, and made it again."""

    def __init__(self, folder: Path, *, shared: bool) -> None:
        self._folder = folder
        self._shared = shared
        self._met = 0

    def settle(self, _: object) -> None:
        self._met += 1
        if self._met == 1 and self._shared:
            shutil.rmtree(self._folder)
            self._folder.mkdir()

    def greatest(self, values: list[float]) -> list[float]:
        assert values == [0.0]  # rank 0 sees what it has made
        return [float(not self._shared)]


@pytest.mark.parametrize("shared", [True, False])
def test_a_gang_over_hosts_has_a_folder_only_on_a_disk_that_they_share(tmp_path: Path, *, shared: bool) -> None:
    world = World(0, 4, CpuDevice(0), "cpu:0", (0,), 1, leaders=(0, 0, 2, 2))
    world.control = Hosts(tmp_path / "scratch", shared=shared)  # type: ignore[assignment]
    (tmp_path / "scratch").mkdir()
    world.look_at_disk(tmp_path / "scratch")
    assert not list((tmp_path / "scratch").iterdir())
    for size, packed in ((1, False), (2, False), (4, False), (4, True)):
        gang = world.gang(Case(scenario="s", reference="m:S", params={}, world_size=size, packed=packed))
        assert gang is not None
        if shared or size < 4 or packed:
            assert gang.scratch.is_dir()
        else:
            with pytest.raises(RefusedError, match="do not share the run directory's disk; name --out on one that"):
                _ = gang.scratch
