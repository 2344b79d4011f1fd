"""D2L 5.1: networks composed of blocks."""
