"""D2L 5.6 and products of matrices: on one device, across two, and with their norms logged."""
