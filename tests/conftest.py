"""Fixtures for all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch.distributed as dist
from hypothesis import settings

from harness.journal.run_directory import RunDir
from tests.ranks import Ranks

settings.register_profile("ours", deadline=None, derandomize="RANKBENCH_EXPLORE" not in os.environ)
"""How long an example takes says something of the machine only. RANKBENCH_EXPLORE=1 tries other examples each time."""
settings.load_profile("ours")


@pytest.fixture(scope="session")
def chapter_run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """A run of a whole chapter, with its page, which takes seconds to draw."""
    from reports.page import page
    from tests.chapters import many

    run = many(tmp_path_factory.mktemp("chapter"))
    page.write(run)
    return run


@pytest.fixture(scope="session")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ranks]:
    """Two ranks that live as long as the tests."""
    ranks = Ranks(2, tmp_path_factory.mktemp("ranks"))
    yield ranks
    ranks.close()


@pytest.fixture(autouse=True)
def no_group_is_left() -> Iterator[None]:
    """A gang of one makes process groups where it is asked for them, in this very process."""
    standing = dist.is_initialized()
    yield
    if dist.is_initialized() and not standing:
        dist.destroy_process_group()
