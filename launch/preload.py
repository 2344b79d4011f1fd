"""What the fork server imports once, so that every launch after the first starts in a fraction of a second."""

import gc

from launch.lifeline import tie_to_parent

tie_to_parent()

import launch.rank  # noqa: E402, F401
from harness import ledger  # noqa: E402

ledger.ready()
gc.freeze()  # nothing of it is searched again, in no rank
