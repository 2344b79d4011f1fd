"""What a step does: FLOPs, bytes and memory, counted and held against what it declares."""
