"""Reading a run directory: plan, journal, samples, machine."""
