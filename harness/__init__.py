"""The core: what a case is, how it is measured, what a result is."""

from harness.device import affinity as affinity  # before anything imports PyTorch

__version__ = "0.1.0"
