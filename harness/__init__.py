"""The core: what a case is, how it is measured, what a result is."""

__version__ = "0.1.0"
