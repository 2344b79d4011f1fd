"""Who runs the ranks: this process, or gangs of processes started by PyTorch's elastic launcher."""
