"""What the fork server imports once, so that every launch after the first starts in a fraction of a second."""

import gc

from launch.lifeline import tie_to_parent

tie_to_parent()

import torch._dynamo  # noqa: E402 - counting FLOPs needs it, and it takes a second to load
import torch.distributed  # noqa: E402
import torch.utils.flop_counter  # noqa: E402, F401

import harness.worker  # noqa: E402, F401
import launch.rank  # noqa: E402, F401

gc.freeze()  # nothing of it is searched again, in no rank
