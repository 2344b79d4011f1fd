"""Several runs on one page: how the times of the same cases went from run to run, on one machine as it was."""
