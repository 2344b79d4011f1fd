"""Causes: what costs a case most of the time above its ideal, or disturbs it most, by the evidence of its journal."""
