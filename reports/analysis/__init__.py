"""What a run shows: cases, contrasts, losses, ranks, steadiness, projection."""
