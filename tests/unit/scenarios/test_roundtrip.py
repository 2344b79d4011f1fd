"""Parameters to disk and back: whole and in part, by one rank and by two; the published mistakes are wrong."""

from __future__ import annotations

import pickle
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from harness.gang import Gang
from harness.scenario import Workload
from harness.work.counting import count
from scenarios.chapter.roundtrip import checkpoint, exported, formats, limits, part, training_state
from scenarios.chapter.roundtrip import load as load_module
from scenarios.chapter.roundtrip.load import Load
from scenarios.chapter.roundtrip.part import Part
from scenarios.chapter.roundtrip.program import Predictor, Program
from scenarios.chapter.roundtrip.proof import assert_read, assert_same, read
from scenarios.chapter.roundtrip.restore import Restore
from scenarios.chapter.roundtrip.resume import Resume
from scenarios.chapter.roundtrip.save import Save
from scenarios.chapter.roundtrip.state import State, drawn, network, size
from scenarios.chapter.roundtrip.training import Training
from tests.ranks import Ranks, gang

cpu = torch.device("cpu")
SAVES = ("rank0", "torch", "safetensors", "dcp")
RESTORES = ("whole", "slices", "dcp")
READERS = ("full", "mmap", "safetensors", "dcp")
LOADS = ("copy", "assign", "mmap", "safetensors", "pinned", "broadcast")
SMALL = {"layers": 3, "width": 48}
PARAMETERS = 4 * 3 * (48 * 48 + 3 * 48)  # bytes of weights, biases, and normalisations


@pytest.fixture
def lone(tmp_path: Path) -> Gang:
    return gang(0, 1, tmp_path / "scratch")


def facts(workload: Workload) -> dict[str, Any]:
    workload.reset()
    return dict(workload.check(workload.step()) or {})


def told(workload: Workload, *, step: Callable[[], Any] | None = None) -> str:
    """What the check says to a step: nothing where it is content."""
    workload.reset()
    output = (step or workload.step)()
    try:
        workload.check(output)
    except AssertionError as error:
        return str(error) or "wrong"
    return ""


def here(mine: Gang, scenario: Any) -> tuple[str, dict[str, Any], float, int]:
    """What the check says on a rank, its facts, the declared items and the traffic; files are gone afterwards."""
    workload = scenario.prepare(mine)
    workload.reset()
    mine.barrier()
    workload.step()
    workload.reset()
    mine.barrier()
    traffic = count(workload.step).traffic_bytes
    workload.reset()
    mine.barrier()
    output = workload.step()
    mine.barrier()
    try:
        said, found = "", dict(workload.check(output) or {})
    except AssertionError as error:
        said, found = str(error) or "wrong", {}
    mine.barrier()
    shutil.rmtree(mine.folder, ignore_errors=True)
    mine.barrier()
    return said, found, workload.work.items, traffic


# Bits, and proof that they were read


dtypes = st.sampled_from([torch.float32, torch.bfloat16, torch.int64, torch.uint8, torch.bool])


@given(dtypes, st.integers(0, 40), st.integers(0, 9), st.integers(0, 2**32))
def test_the_sum_of_all_words_is_numpys(dtype: torch.dtype, length: int, offset: int, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    made = torch.randint(-5, 5, (length + offset,), generator=random).to(dtype)[offset:]  # not aligned to words
    state = {"it": made}
    assert_read(read(state.values()), state)
    if length:
        other = made.clone()
        other.view(torch.uint8)[-1] ^= 1
        with pytest.raises(AssertionError, match="not every byte"):
            assert_read(read([other]), state)


def test_the_same_is_a_matter_of_every_bit() -> None:
    wanted = {"a": torch.tensor([0.0, torch.nan]), "b": torch.ones(2, 3)}
    copy = {name: each.clone() for name, each in wanted.items()}
    assert_same(copy, wanted)
    for wrong in (
        {"a": copy["a"]},
        {**copy, "c": torch.ones(1)},
        {**copy, "a": torch.tensor([-0.0, torch.nan])},
        {**copy, "b": copy["b"].double()},
        {**copy, "b": copy["b"].reshape(3, 2)},
        {**copy, "b": copy["b"].to("meta")},
        {**copy, "b": copy["b"].bfloat16().float() + 1e-7},
    ):
        with pytest.raises(AssertionError):
            assert_same(wrong, wanted)


@pytest.mark.parametrize("mine", [lambda each: each, lambda each: each.view(-1).view_as(each), lambda each: each[:]])
def test_what_was_saved_is_not_taken_for_what_was_loaded(mine: Callable[[torch.Tensor], torch.Tensor]) -> None:
    wanted = {"a": torch.ones(2, 3)}
    with pytest.raises(AssertionError, match="nothing was carried"):
        assert_same({name: mine(each) for name, each in wanted.items()}, wanted)


# Formats


SAVE = {"torch": formats.save_torch, "safetensors": formats.save_safetensors, "dcp": checkpoint.save}


def back(kind: str, path: Path, like: State) -> State:
    if kind == "torch":
        return formats.load_torch(path, cpu)
    if kind == "safetensors":
        return formats.load_safetensors(path, cpu)
    room = {name: torch.empty_like(each) for name, each in like.items()}
    checkpoint.load(room, path)
    return room


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("kind", SAVE)
def test_every_format_gives_every_bit_back(kind: str, durable: bool, lone: Gang, tmp_path: Path) -> None:
    state = drawn(network(16, 2), lone)
    SAVE[kind](state, tmp_path / "it", durable=durable)
    assert_same(back(kind, tmp_path / "it", state), state)
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("kind", ["torch", "safetensors"])
def test_a_save_that_breaks_off_leaves_what_was_there_before(
    kind: str, lone: Gang, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, path = drawn(network(16, 2), lone), tmp_path / "it"
    SAVE[kind](state, path)

    def breaks_off(*_: object) -> None:
        (tmp_path / "it.part").write_bytes(b"half a file")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", breaks_off)
    monkeypatch.setattr(formats, "save_file", breaks_off)
    with pytest.raises(KeyboardInterrupt):
        SAVE[kind](drawn(network(16, 2), lone), path)
    assert_same(back(kind, path, state), state)
    assert [each.name for each in tmp_path.iterdir()] == ["it"]


KILLED = """
import os, signal, sys, torch
from pathlib import Path
from scenarios.chapter.roundtrip import formats

def half(_, file):
    (file if hasattr(file, "write") else file.open("wb")).write(b"half a file")
    os.kill(os.getpid(), signal.SIGKILL)

torch.save = formats.save_file = half
formats.{save}({{"a": torch.zeros(3)}}, Path(sys.argv[1]))
"""


@pytest.mark.parametrize("kind", ["torch", "safetensors"])
def test_a_process_that_is_killed_while_it_saves_leaves_what_was_there_before(kind: str, tmp_path: Path) -> None:
    state, path = {"a": torch.ones(3)}, tmp_path / "it"
    SAVE[kind](state, path)
    code = KILLED.format(save=SAVE[kind].__name__)
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == -signal.SIGKILL
    assert path.with_name("it.part").exists()
    assert_same(back(kind, path, state), state)


def test_memory_that_is_shared_is_shared_again_or_written_twice_or_refused(tmp_path: Path) -> None:
    weight = torch.ones(64, 64)
    tied = {"2.weight": weight, "4.weight": weight}
    for kind in ("torch", "dcp"):
        SAVE[kind](tied, tmp_path / kind)
        assert_same(back(kind, tmp_path / kind, {name: weight.clone() for name in tied}), tied)
    stored = {path.name: sum(file.stat().st_size for file in [path, *path.glob("*")]) for path in tmp_path.iterdir()}
    assert stored["torch"] < 1.5 * weight.nbytes < 2 * weight.nbytes < stored["dcp"]
    found = back("torch", tmp_path / "torch", tied)
    assert found["2.weight"].data_ptr() == found["4.weight"].data_ptr()
    with pytest.raises(RuntimeError, match="share memory"):
        SAVE["safetensors"](tied, tmp_path / "it")


def test_safetensors_refuses_what_is_not_contiguous_and_what_is_no_tensor(tmp_path: Path) -> None:
    for refused in (torch.ones(2, 3).T, 1, "architecture"):
        with pytest.raises(ValueError, match=r"contiguous|expected torch\.Tensor"):
            formats.save_safetensors({"a": refused}, tmp_path / "it")
    assert not list(tmp_path.iterdir())


def test_a_file_that_was_saved_from_a_gpu_is_loaded_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ``torch.load(path)``, which was published, does not."""
    path, forged = tmp_path / "it", {"a": torch.ones(3)}
    with monkeypatch.context() as patch:
        patch.setattr(torch.serialization, "location_tag", lambda _: "cuda:0")
        formats.save_torch(forged, path)
    if not torch.cuda.is_available():
        with pytest.raises(RuntimeError, match="CUDA"):
            torch.load(path, weights_only=True)
    assert_same(formats.load_torch(path, cpu), forged)


def test_a_view_takes_all_that_it_is_a_view_of_to_disk(tmp_path: Path) -> None:
    whole = torch.ones(1000, 100)
    formats.save_torch({"a": whole[:1]}, tmp_path / "view")
    formats.save_torch({"a": whole[:1].clone()}, tmp_path / "copy")
    assert (tmp_path / "view").stat().st_size > 100 * (tmp_path / "copy").stat().st_size


# Save


@pytest.mark.parametrize("how", SAVES)
def test_what_one_rank_saves(how: str, lone: Gang) -> None:
    found = facts(Save(**SMALL, how=how).prepare(lone))
    assert found["parameter_bytes"] == PARAMETERS
    assert found["files"] == (2 if how == "dcp" else 1)  # and an index
    assert PARAMETERS < found["stored_bytes"] < 1.05 * PARAMETERS + 4096 * 12  # twelve tensors


@pytest.mark.parametrize("how", SAVES)
@pytest.mark.parametrize("layers", [3, 1])
def test_two_ranks_save_every_byte_once(two_ranks: Ranks, how: str, layers: int) -> None:
    (said, found, items, traffic), (other, its, more, _) = two_ranks.do(here, Save(width=48, layers=layers, how=how))
    assert said == other == ""
    assert found == its
    assert items + more == PARAMETERS * layers // 3
    assert (more == 0) == (how == "rank0")
    assert found["files"] == {"rank0": 1, "torch": 2, "safetensors": 2, "dcp": 3}[how]
    assert how == "dcp" or traffic == 0


class Rows(Save):
    """Makes something else of the rows that a rank is to save."""

    def rows(self, state: State, mine: Gang) -> State:
        return self.spoil(super().rows(state, mine), state, mine)

    @staticmethod
    def spoil(rows: State, state: State, mine: Gang) -> State:
        raise NotImplementedError


class Views(Rows):
    """Views, which take all that they are views of along."""

    @staticmethod
    def spoil(rows: State, state: State, mine: Gang) -> State:
        return {name: mine.part(each) for name, each in state.items()}


class Everything(Rows):
    """Each rank saves all."""

    @staticmethod
    def spoil(rows: State, state: State, mine: Gang) -> State:
        return {name: each.clone() for name, each in state.items()}


class Rounded(Rows):
    """Half the precision."""

    @staticmethod
    def spoil(rows: State, state: State, mine: Gang) -> State:
        return {name: each.bfloat16().float() for name, each in rows.items()}


class LastMissing(Rows):
    """All but the last parameter."""

    @staticmethod
    def spoil(rows: State, state: State, mine: Gang) -> State:
        return dict(list(rows.items())[:-1])


class FirstRanks(Rows):
    """Every rank saves the first rank's rows."""

    @staticmethod
    def spoil(rows: State, state: State, mine: Gang) -> State:
        return {name: replace(mine, rank=0).part(each).clone() for name, each in state.items()}


@pytest.mark.parametrize("spoilt", [Views, Everything, Rounded, LastMissing, FirstRanks])
def test_a_save_of_something_else_is_wrong(two_ranks: Ranks, spoilt: type[Rows]) -> None:
    width = 256 if spoilt is Views else 48
    kinds = ("torch",) if spoilt is Views else ("torch", "safetensors")  # safetensors cuts views to what they show
    for how in kinds:
        for said, *_ in two_ranks.do(here, spoilt(layers=3, width=width, how=how)):
            assert said


def test_a_step_that_writes_nothing_new_is_wrong(lone: Gang, monkeypatch: pytest.MonkeyPatch) -> None:
    workload = Save(**SMALL).prepare(lone)
    assert told(workload) == ""
    monkeypatch.setattr(formats, "save_torch", lambda *_, **__: None)
    assert "missing" in told(workload)  # for what an earlier sample wrote was put away


# Restore


@pytest.mark.parametrize("how", RESTORES)
@pytest.mark.parametrize("layers", [3, 1])
def test_two_ranks_get_their_rows_of_what_one_has_saved(two_ranks: Ranks, how: str, layers: int) -> None:
    (said, found, items, _), (other, its, more, _) = two_ranks.do(here, Restore(width=48, layers=layers, how=how))
    assert said == other == ""
    assert found == its == {"parameter_bytes": PARAMETERS * layers // 3}
    assert items == more == PARAMETERS * layers // 6


@pytest.mark.parametrize("how", RESTORES)
@pytest.mark.parametrize("width", [1, 3])
def test_rows_that_ranks_do_not_divide_are_restored_too(two_ranks: Ranks, how: str, width: int) -> None:
    told = two_ranks.do(here, Restore(layers=1, width=width, how=how))
    assert [said for said, *_ in told] == ["", ""]
    assert sum(items for _, _, items, _ in told) == 4 * (width * width + 3 * width)


@pytest.mark.parametrize("how", RESTORES)
def test_one_rank_gets_everything(how: str, lone: Gang) -> None:
    workload = Restore(**SMALL, how=how).prepare(lone)
    assert facts(workload) == {"parameter_bytes": PARAMETERS}
    assert workload.work.items == PARAMETERS


SPOIL: dict[str, Callable[[State], State]] = {
    "the last tensor missing": lambda state: dict(list(state.items())[:-1]),
    "the last row left out": lambda state: {name: torch.cat([each[:-1], each[:1]]) for name, each in state.items()},
    "half the precision": lambda state: {name: each.bfloat16().to(each.dtype) for name, each in state.items()},
    "rows in another order": lambda state: {name: each.flip(0) for name, each in state.items()},
    "a bit": lambda state: {name: each.nextafter(each + 1) if each.ndim > 1 else each for name, each in state.items()},
    "another type": lambda state: {name: each.double() for name, each in state.items()},
}


@pytest.mark.parametrize("mistake", SPOIL)
@pytest.mark.parametrize("how", RESTORES)
def test_a_state_that_is_not_the_one_that_was_saved_is_wrong(how: str, mistake: str, lone: Gang) -> None:
    workload = Restore(**SMALL, how=how).prepare(lone)

    def step() -> tuple[State, torch.Tensor]:
        found, _ = workload.step()
        spoilt = SPOIL[mistake](found)
        return spoilt, read(spoilt.values())

    assert told(workload) == ""
    assert told(workload, step=step)


def test_rows_of_another_rank_are_wrong(two_ranks: Ranks) -> None:
    for how in RESTORES[:2]:
        for said in two_ranks.do(others_rows, how):
            assert "has other bits" in said


def others_rows(mine: Gang, how: str) -> str:
    workload = Restore(**SMALL, how=how).prepare(mine)
    mine.barrier()
    found = formats.load_torch(mine.folder / "parameters", cpu) if how == "whole" else None
    found = found or formats.load_safetensors(mine.folder / "parameters", cpu)
    theirs = {name: replace(mine, rank=1 - mine.rank).part(each).clone() for name, each in found.items()}
    said = told(workload, step=lambda: (theirs, read(theirs.values())))
    mine.barrier()
    shutil.rmtree(mine.folder, ignore_errors=True)
    mine.barrier()
    return said


def test_a_file_that_is_only_mapped_was_not_read(lone: Gang) -> None:
    """The published "1.2 TB/s": nothing looks at what was loaded."""
    workload = Restore(**SMALL, how="slices").prepare(lone)
    path = lone.folder / "parameters"

    def mapped() -> tuple[State, torch.Tensor]:
        found = formats.load_safetensors(path, cpu)
        return found, torch.zeros(len(found), dtype=torch.int64)

    assert "not every byte was read" in told(workload, step=mapped)


def test_a_checkpoint_that_is_not_loaded_anew_is_wrong(lone: Gang, monkeypatch: pytest.MonkeyPatch) -> None:
    workload = Restore(**SMALL, how="dcp").prepare(lone)
    assert told(workload) == ""
    monkeypatch.setattr(checkpoint, "load", lambda *_: None)
    assert "other bits" in told(workload)  # for its room was emptied


# Part of a network


@pytest.mark.parametrize("reader", READERS)
def test_two_layers_go_into_another_architecture(reader: str, lone: Gang) -> None:
    part, file = (n * (4 * (48 * 48 + 5 * 48) + 8) for n in (2, 3))  # with statistics and a counter
    found = facts(Part(**SMALL, reader=reader).prepare(lone))
    assert found.pop("read_bytes") > part
    assert found == {
        "tensors": 14, "part_bytes": part, "file_bytes": file, "misnamed": 0, "shifted": 0, "renamed": 14,
    }  # fmt: skip


@pytest.mark.parametrize("reader", READERS)
def test_only_who_reads_the_whole_file_reads_more_than_its_part(reader: str, lone: Gang) -> None:
    found = facts(Part(layers=4, width=512, reader=reader).prepare(lone))
    most = part.MOST_READ * found["part_bytes"]
    assert (found["read_bytes"] <= most) == (reader != "full")
    assert found["part_bytes"] <= found["read_bytes"] <= 1.1 * found["file_bytes"]


class ReadsAll(Part):
    """Reads everything, and gives back what was asked for."""

    def read(self, path: Path, like: State) -> State:
        found = formats.load_torch(path, cpu)
        return {name: found[name] for name in like}


def test_a_partial_reader_that_reads_the_whole_file_is_wrong(lone: Gang, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part, "PAGES", 1 << 18)
    assert "bytes were read for" in told(ReadsAll(layers=4, width=256, reader="mmap").prepare(lone))
    assert told(ReadsAll(layers=4, width=256, reader="full").prepare(lone)) == ""


def test_names_that_are_shifted_bring_a_layer_what_belongs_to_the_next_until_they_are_mapped(lone: Gang) -> None:
    donor = drawn(network(8, 2), lone)
    with torch.device("meta"):
        net = nn.Sequential(nn.Identity(), *network(8, 2))
    net.to_empty(device=cpu)
    keys = net.load_state_dict(donor, strict=False)
    assert [name.partition(".")[0] for name in keys.missing_keys] == ["2"] * 6  # and nothing was raised
    assert torch.equal(net[1][0].weight, donor["1.0.weight"])  # which is the second layer's
    assert (limits.shifted(donor), limits.shifted(donor, limits.one_further)) == (0, 14)


def test_a_part_of_a_tied_donor_is_whole_and_tied_no_more(lone: Gang) -> None:
    donor = network(8, 2).to_empty(device=cpu)
    donor.load_state_dict(drawn(donor, lone))
    donor[1][0].weight = donor[0][0].weight
    path = lone.scratch / "tied"
    formats.save_torch(donor.state_dict(), path)
    net = nn.Sequential(*network(8, 2), nn.Linear(8, 3)).to_empty(device=cpu)
    net.load_state_dict(formats.load_torch(path, cpu), strict=False)
    assert_same({name: net.state_dict()[name] for name in donor.state_dict()}, donor.state_dict())
    assert net[0][0].weight.data_ptr() != net[1][0].weight.data_ptr()
    with pytest.raises(RuntimeError, match="share memory"):
        formats.save_safetensors(donor.state_dict(), path)


@pytest.mark.parametrize("reader", READERS)
def test_each_of_two_ranks_has_its_own_copy(two_ranks: Ranks, reader: str) -> None:
    told = two_ranks.do(here, Part(**SMALL, reader=reader))
    for _, found, _, _ in told:
        del found["read_bytes"]  # by a byte or two, they count the counting
    (said, found, items, traffic), again = told
    assert again == (said, found, items, traffic) == ("", found, found["part_bytes"], 0)


def parts(lone: Gang) -> tuple[Workload, nn.Sequential, State]:
    """A workload, its network, and what the file holds."""
    workload = Part(**SMALL).prepare(lone)
    cells = {
        name: cell.cell_contents
        for name, cell in zip(workload.step.__code__.co_freevars, workload.step.__closure__, strict=True)
    }
    return workload, cells["net"], formats.load_torch(lone.folder / "donor", cpu)


def first_two(state: State) -> State:
    return {name: each for name, each in state.items() if name[0] in "01"}


def after(net: nn.Sequential, state: State, **how: bool) -> tuple[Any, torch.Tensor]:
    keys = net.load_state_dict(state, strict=False, **how)
    return keys, read(net.state_dict().values())


def test_names_with_a_prefix_load_nothing_and_that_is_wrong(lone: Gang) -> None:
    workload, net, donor = parts(lone)
    other = {f"model.{name}": each for name, each in first_two(donor).items()}
    assert "missing_keys" in told(workload, step=lambda: after(net, other))


def test_one_layer_where_two_are_asked_for_is_wrong(lone: Gang) -> None:
    """``children()`` counts activations: two of them are one layer with parameters."""
    workload, net, donor = parts(lone)
    one = {name: each for name, each in donor.items() if name[0] == "0"}
    assert "missing_keys" in told(workload, step=lambda: after(net, one))


def test_the_whole_file_does_not_fit_and_strict_forgives_it_no_size(lone: Gang) -> None:
    workload, net, donor = parts(lone)
    workload.reset()
    before = {name: each.clone() for name, each in net.state_dict().items()}
    with pytest.raises(RuntimeError, match="size mismatch"):  # so that its status is error
        after(net, donor)
    now = net.state_dict()
    changed = [name for name, each in before.items() if not torch.equal(each, now[name])]
    assert changed == [*first_two(donor)]  # although it raised


def test_a_state_that_was_loaded_in_part_is_wrong(lone: Gang) -> None:
    workload, net, donor = parts(lone)
    torn = first_two(donor) | {"1.0.weight": torch.ones(3, 3)}

    def swallowed() -> tuple[Any, torch.Tensor]:
        try:
            return after(net, torn)
        except RuntimeError:
            good, _ = after(net, {})
            return type(good)([name for name in net.state_dict() if name[0] == "2"], []), read(
                net.state_dict().values()
            )

    assert "1.0.weight has other bits" in told(workload, step=swallowed)


class SameArchitecture(Part):
    """As published: a layer goes from one network into another of the same class."""

    def architecture(self) -> nn.Sequential:
        return network(self.width, self.layers)


def test_reuse_in_the_same_architecture_is_wrong(lone: Gang) -> None:
    assert "has its donor's architecture" in told(SameArchitecture(**SMALL).prepare(lone))


def test_a_network_that_had_the_donors_values_before_shows_nothing_and_is_wrong(
    lone: Gang, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: State = {}

    def drawn_once(like: nn.Module, mine: Gang) -> State:
        made = drawn(like, mine)
        same = {name: kept[name].clone() for name, each in made.items() if name[0] in "01" and name in kept}
        kept.update(made)
        return made | same

    monkeypatch.setattr(part, "drawn", drawn_once)
    workload = Part(**SMALL).prepare(lone)
    assert "had its donor's values before" in told(workload)


def test_a_step_that_copies_nothing_is_wrong(lone: Gang) -> None:
    workload, net, _ = parts(lone)
    workload.check(workload.step())  # and a copy that an earlier step left is taken away before the next
    keys = [name for name in net.state_dict() if name[0] == "2"]
    nothing = nn.modules.module._IncompatibleKeys(keys, [])
    assert "other bits" in told(workload, step=lambda: (nothing, read(net.state_dict().values())))


@pytest.mark.parametrize("name", ["1.0.bias", "1.1.running_var", "1.1.num_batches_tracked", "2.2.bias"])
def test_a_single_other_number_is_wrong_in_what_was_reused_and_in_the_head(name: str, lone: Gang) -> None:
    """The published check compares one weight."""
    workload, net, donor = parts(lone)

    def step() -> tuple[Any, torch.Tensor]:
        keys, _ = after(net, first_two(donor))
        net.state_dict()[name].view(-1)[-1:].add_(1)
        return keys, read(net.state_dict().values())

    assert f"{name} has other bits" in told(workload, step=step)


def test_a_network_that_shares_memory_with_its_donor_is_wrong(lone: Gang, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[State] = []
    monkeypatch.setattr(formats, "save_torch", lambda state, path: given.append(state))
    monkeypatch.setattr(formats, "load_torch", lambda *_, **__: given[0])
    workload = Part(**SMALL).prepare(lone)
    assert told(workload) == ""  # copied it is right, wherever it came from
    _, net, _ = parts(lone)
    workload = Part(**SMALL).prepare(lone)
    net = workload.step.__closure__[list(workload.step.__code__.co_freevars).index("net")].cell_contents
    assert "nothing was carried" in told(workload, step=lambda: after(net, first_two(given[-1]), assign=True))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_a_file_of_another_precision_is_rounded_without_a_word_and_wrong(lone: Gang, dtype: torch.dtype) -> None:
    workload, net, donor = parts(lone)
    other = {name: each.to(dtype) if each.is_floating_point() else each for name, each in first_two(donor).items()}
    said = told(workload, step=lambda: after(net, other))
    assert ("other bits" in said) == (dtype == torch.bfloat16)


# Load onto the device


@pytest.mark.parametrize("by", LOADS)
def test_a_network_comes_back_and_an_optimizer_keeps_it_only_where_it_was_copied(by: str, lone: Gang) -> None:
    copied = by in ("copy", "broadcast")
    assert facts(Load(**SMALL, by=by).prepare(lone)) == {
        "parameters": 12, "kept": 12 if copied else 0, "pinned": False,
        "tie": "kept" if copied else "lost", "moments": 6, "moments_saved": 6,  # of one weight and two biases
    }  # fmt: skip


def forgetful(adam: torch.optim.Adam, saved: dict[str, Any]) -> None:
    """A learning rate comes back, and no moment."""
    for state in saved["state"].values():
        state["exp_avg"] = torch.zeros_like(state["exp_avg"])
    LOAD(adam, saved)


LOAD = torch.optim.Adam.load_state_dict


def test_moments_that_do_not_come_back_are_wrong(lone: Gang, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.optim.Adam, "load_state_dict", forgetful)
    assert "of Adam's moments 3 came back" in told(Load(**SMALL, by="copy").prepare(lone))


def test_a_tie_that_is_undone_by_copying_is_wrong(lone: Gang, monkeypatch: pytest.MonkeyPatch) -> None:
    true = training_state.returned
    monkeypatch.setattr(load_module, "returned", lambda path, device, assign: true(path, device, assign=True))
    assert "the tie of two layers is lost" in told(Load(**SMALL, by="copy").prepare(lone))


@pytest.mark.parametrize("by", LOADS)
def test_every_rank_has_the_whole_network(two_ranks: Ranks, by: str) -> None:
    (said, found, items, traffic), again = two_ranks.do(here, Load(**SMALL, by=by))
    assert again == (said, found, items, traffic)
    assert (said, items) == ("", size(drawn(network(48, 3), gang(0, 1))))
    assert traffic == (items if by == "broadcast" else 0)


class Wrongly(Load):
    """Loads the network and does something else to it."""

    mistake = ""

    def load(self, path: Path, live: nn.Module, mine: Gang) -> nn.Module:
        net = super().load(path, live, mine)
        with torch.no_grad():
            if self.mistake == "half the precision":
                net.bfloat16().float()
            elif self.mistake == "statistics as in a new network":
                net[1][1].reset_running_stats()
            elif self.mistake == "the last bias left at zero":
                net[-1][1].bias.zero_()
            elif self.mistake == "one rank's sign" and mine.rank == mine.size - 1:
                net[0][0].weight.neg_()
        return net


@pytest.mark.parametrize(
    "mistake",
    ["half the precision", "statistics as in a new network", "the last bias left at zero", "one rank's sign"],
)
@pytest.mark.parametrize("by", LOADS)
def test_a_network_that_is_not_the_one_that_was_saved_is_wrong(
    by: str, mistake: str, lone: Gang, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Wrongly, "mistake", mistake)
    assert "other bits" in told(Wrongly(**SMALL, by=by).prepare(lone))


def test_loading_into_the_meta_device_is_a_warning_that_does_nothing(lone: Gang) -> None:
    """Unless the tensors are assigned; and then the optimizer's are others."""
    state = drawn(network(16, 1), lone)
    net = network(16, 1)
    with pytest.warns(UserWarning, match="no-op"):
        net.load_state_dict(state)
    assert all(each.is_meta for each in net.parameters())


class Silent(Gang):
    """Nobody sends."""

    def broadcast(self, tensor: torch.Tensor, source: int = 0) -> torch.Tensor:
        return tensor


def unsent(mine: Gang) -> str:
    return here(Silent(**vars(mine)), Load(**SMALL, by="broadcast"))[0]


def test_without_its_messages_only_the_first_rank_has_a_network(two_ranks: Ranks) -> None:
    first, second = two_ranks.do(unsent)
    assert first == ""
    assert "other bits" in second


@pytest.mark.parametrize("by", ["assign", "mmap", "pinned"])
def test_a_network_on_another_device_than_the_ranks_is_wrong(
    by: str, lone: Gang, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where ``map_location`` is missing and all ranks load onto the device that saved; here it is meta."""
    load = torch.load
    monkeypatch.setattr(torch, "load", lambda *given, **more: load(*given, **(more | {"map_location": "meta"})))
    workload = Load(**SMALL, by=by).prepare(lone)
    assert "device(type='meta')" in told(workload, step=lambda: unread(workload.step))


def unread(step: Callable[[], Any]) -> Any:
    """A step on a device that has no data to read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("scenarios.chapter.roundtrip.load.read", lambda tensors: torch.zeros(len(list(tensors))))
        return step()


@pytest.mark.parametrize("by", ["copy", "assign", "broadcast"])
def test_a_copy_that_arrives_after_the_step_is_wrong(by: str, lone: Gang) -> None:
    """As where ``non_blocking`` copies are not waited for: when one looks, the bits are there."""
    workload = Load(**SMALL, by=by).prepare(lone)

    def early() -> tuple[nn.Module, torch.Tensor]:
        net, sums = workload.step()
        return net, torch.zeros_like(sums)  # of memory that was not written yet

    assert told(workload) == ""
    assert told(workload, step=early) == "not every byte was read"


def test_what_lies_in_memory_is_not_taken_for_what_was_loaded(lone: Gang, monkeypatch: pytest.MonkeyPatch) -> None:
    for by in ("copy", "broadcast"):
        workload = Load(**SMALL, by=by).prepare(lone)
        assert told(workload) == ""
        with monkeypatch.context() as patch:
            patch.setattr(formats, "load_torch", lambda *_, **__: {})
            patch.setattr(nn.Module, "load_state_dict", lambda *_, **__: None)
            assert "other bits" in told(workload)


# Programs


def test_a_program_says_what_it_refuses(lone: Gang) -> None:
    found = facts(Program(layers=1, width=16, file="program").prepare(lone))
    del found["file_bytes"]
    assert found == {"own_classes": 0, "other_batch": "refused", "branch": "refused", "pickle": "refused"}
    found = facts(Program(layers=1, width=16, file="parameters").prepare(lone))
    assert (found["own_classes"], found["other_batch"]) == (1, "accepted")


@pytest.mark.parametrize("rebuilt", [nn.Sequential, Predictor])
def test_a_program_that_is_only_a_state_is_wrong(
    rebuilt: type[nn.Sequential], lone: Gang, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As published: parameters alone, under the name of a model, and the architecture is code."""

    def save(net: nn.Module, inputs: object, path: Path) -> exported.Digest:
        formats.save_torch(net.state_dict(), path)
        return exported.Digest(b"none")

    def load(path: Path, digest: exported.Digest) -> nn.Module:
        net = rebuilt(*network(16, 1))
        net.load_state_dict(formats.load_torch(path, cpu), assign=True)
        return net.eval()

    monkeypatch.setattr(exported, "save", save)
    monkeypatch.setattr(exported, "load", load)
    own = int(rebuilt is Predictor)
    said = told(Program(layers=1, width=16, file="program").prepare(lone))
    assert said == f"{own} modules of the network's own class, and another batch is accepted"


def test_a_traced_branch_goes_the_way_that_it_went_without_a_word(lone: Gang) -> None:
    """Which is why no variant is traced: an exported program refuses the branch."""
    branch, positive = limits.Branch(), torch.ones(2, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of the branch, and of itself
        traced = torch.jit.trace(branch, positive)
    assert torch.equal(traced(positive), branch(positive))
    assert torch.equal(traced(-positive), -branch(-positive))


def test_a_program_for_any_batch_is_one_that_was_exported_so() -> None:
    net, any_batch = nn.Linear(4, 3), {0: torch.export.Dim("batch")}
    program = torch.export.export(net, (torch.ones(5, 4),), dynamic_shapes=(any_batch,)).module()
    x = torch.randn(9, 4)
    assert torch.equal(program(x), net(x))


def test_a_network_with_a_function_of_its_own_cannot_be_pickled(tmp_path: Path) -> None:
    net = nn.Linear(2, 2)
    net.rule = lambda x: x
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        torch.save(net, tmp_path / "it")
    formats.save_torch(net.state_dict(), tmp_path / "it")  # its parameters can be saved
    assert_same(formats.load_torch(tmp_path / "it", cpu), net.state_dict())


def test_a_prediction_by_something_else_is_wrong(lone: Gang) -> None:
    workload = Program(layers=2, width=16).prepare(lone)
    net, output = workload.step()
    workload.check((net, output))
    for wrong in ((net, output.roll(1, 0)), (net, output.bfloat16().float()), (net, output[:1]), (net, -output)):
        with pytest.raises(AssertionError, match="the output"):
            workload.check(wrong)
    trained = net.train()(torch.rand(2, 16))  # normalised over its own batch
    with pytest.raises(AssertionError):
        workload.check((net, trained))


def test_parameters_that_never_left_memory_are_wrong(lone: Gang, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[State] = []
    monkeypatch.setattr(formats, "save_torch", lambda state, path: given.append(state) or path.touch())
    monkeypatch.setattr(formats, "load_torch", lambda *_: given[0])
    assert "nothing was carried" in told(Program(layers=1, width=16).prepare(lone))


# Going on


TRAINING = {"width": 16, "steps": 12, "saved": 9}


@pytest.mark.parametrize("after", ["restart", "resume"])
def test_a_run_that_is_resumed_ends_with_the_bits_of_one_that_is_not(after: str, lone: Gang) -> None:
    found = facts(Resume(**TRAINING, after=after).prepare(lone))
    assert found["trained"] == (12 if after == "restart" else 3)
    if after == "resume":
        assert found["without_adam"] > 0
        assert found["without_random"] > 0


@pytest.mark.parametrize("missing", ["adam", "random"])
def test_a_checkpoint_that_lacks_something_is_wrong(missing: str, lone: Gang, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Training.checkpoint
    monkeypatch.setattr(
        Training, "checkpoint", lambda self: {key: part for key, part in whole(self).items() if key != missing}
    )
    assert "other bits" in told(Resume(**TRAINING, after="resume").prepare(lone))


@pytest.mark.parametrize("missing", ["net", "done"])
def test_a_checkpoint_without_parameters_or_step_is_no_checkpoint(
    missing: str, lone: Gang, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Training.checkpoint
    monkeypatch.setattr(
        Training, "checkpoint", lambda self: {key: part for key, part in whole(self).items() if key != missing}
    )
    with pytest.raises(KeyError, match=missing):  # so that its status is error
        told(Resume(**TRAINING, after="resume").prepare(lone))


def test_the_best_so_far_is_no_copy_unless_it_is_copied() -> None:
    torch.manual_seed(0)
    run = Training(8, torch.randn(4, 64, 21))
    best, kept = run.go_on(2), {name: each.clone() for name, each in run.net.state_dict().items()}
    run.go_on(4)
    assert not torch.equal(best["0.weight"], kept["0.weight"])  # it trained on
    assert torch.equal(best["0.weight"], run.net.state_dict()["0.weight"])


def test_each_rank_resumes_a_run_of_its_own(two_ranks: Ranks) -> None:
    (said, found, items, traffic), (other, its, more, _) = two_ranks.do(here, Resume(**TRAINING, after="resume"))
    assert said == other == ""
    assert (items, more, traffic) == (1, 1, 0)
    assert found["without_adam"] != its["without_adam"]
