"""Imports of the fork server: every launch after the first starts in a fraction of a second."""

import gc

import launch.local.rank  # noqa: F401
from harness.work import counting
from launch.processes.cleanup import tie_to_parent

tie_to_parent()


counting.ready()
gc.freeze()  # nothing of it is searched again, in no rank
