"""A training loop in which one thing goes wrong: the first argument says what."""

import os
import signal
import subprocess
import sys
import time

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

what = sys.argv[1]
if what != "undistributed":
    dist.init_process_group("gloo")
rank = int(os.environ["RANK"])
model: nn.Module = nn.Linear(16, 4)
if dist.is_initialized():
    model = DistributedDataParallel(model)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
for step in range(5 if what == "early" else 10_000):
    loss = model(torch.randn(8, 16)).square().mean()
    if what == "nan":
        loss *= float("nan")
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    if what == "bulk":
        print("x" * 1_000_000)
    if step == 4 and rank == int(os.environ["WORLD_SIZE"]) - 1:
        if what == "raise":
            raise ValueError("a planted error")
        if what == "exit":
            sys.exit(3)
        if what == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "differ":
            with torch.no_grad():
                next(model.parameters()).add_(1.0)
        if what == "hang":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            subprocess.Popen(["sleep", "1234.5"], start_new_session=True)
            while True:
                time.sleep(1)
