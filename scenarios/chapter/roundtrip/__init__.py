"""Parameters to disk and back: whole and in part, by one rank and by all, from the device and onto it."""
