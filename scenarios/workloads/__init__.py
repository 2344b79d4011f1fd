"""What people run on several devices: collectives, links, data and model parallelism, loading."""
