"""Connections of process groups: shut down for both ends at once, and no other file is touched."""

from __future__ import annotations

import datetime as dt
import os
import socket
from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist

from harness.gang import Gang
from harness.world.connections import Connection, hang_up, opened
from harness.world.world import World
from tests.gpus import FakeGpu
from tests.limits import LIMIT_S
from tests.ranks import Ranks


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def test_only_what_was_connected_meanwhile_is_shut_down(server: socket.socket) -> None:
    with socket.create_connection(server.getsockname()) as before, server.accept()[0] as its_peer:
        with opened() as connections:
            client = socket.create_connection(server.getsockname())
            listening, (accepted, _) = socket.create_server(("127.0.0.1", 0)), server.accept()
        assert {each.descriptor for each in connections} == {client.fileno(), accepted.fileno()}
        with client, listening, accepted:
            hang_up(connections[:1])
            assert client.recv(1) == accepted.recv(1) == b""  # at either end
            before.sendall(b"x")
            assert its_peer.recv(1) == b"x"


def test_a_descriptor_that_another_file_has_by_now_is_left_alone(server: socket.socket) -> None:
    with opened() as connections:
        client, (accepted, _) = socket.create_connection(server.getsockname()), server.accept()
    with client, accepted, socket.create_connection(server.getsockname()) as other, server.accept()[0] as its_peer:
        (connection,) = [each for each in connections if each.descriptor == client.fileno()]
        Connection(other.fileno(), connection.inode).hang_up()
        other.sendall(b"x")
        assert its_peer.recv(1) == b"x"
    connection.hang_up()  # closed: nothing to shut down


def freed(mine: Gang) -> str:
    """Rank 1 gives up a group that it still refers to, as DDP would, and of which a fork has every file."""
    limit = dt.timedelta(seconds=LIMIT_S)
    here = World(mine.rank, 2, FakeGpu(), "cpu:0", (0,), 1, sizes=(2,))  # type: ignore[arg-type]
    here.timeout = limit
    here.renew()
    mine.barrier()
    held = here.groups[2]
    dist.all_reduce(torch.ones(1), group=held)
    if mine.rank == 1:
        read, write = os.pipe()
        if not (child := os.fork()):
            os.close(write)
            os.read(read, 1)
            os._exit(0)
        os.close(read)
        here.release(2)
        dist.all_reduce(torch.ones(1), group=mine.group)  # its peer is free
        os.close(write)
        os.waitpid(child, 0)
        return held.group_name
    with pytest.raises(RuntimeError, match="closed by peer"):
        dist.all_reduce(torch.ones(1), group=held)
    dist.all_reduce(torch.ones(1), group=mine.group)
    return held.group_name


def test_peers_are_let_go_at_once_whoever_still_holds_the_group(two_ranks: Ranks) -> None:
    one, other = two_ranks.do(freed)
    assert one == other


def renewed(mine: Gang) -> tuple[bool, bool]:
    """Whether the group of one size stays, and that of the other is another, where only the latter is renewed."""
    here = World(mine.rank, 2, FakeGpu(), "cpu:0", (0,), 1, sizes=(1, 2))  # type: ignore[arg-type]
    here.renew()
    mine.barrier()
    alone, pair = here.groups[1], here.groups[2]
    here.renew(2)
    dist.all_reduce(torch.ones(1), group=here.groups[2])
    return here.groups[1] is alone, here.groups[2] is not pair


def test_only_the_group_of_the_size_that_failed_is_replaced(two_ranks: Ranks) -> None:
    assert two_ranks.do(renewed) == [(True, True)] * 2
