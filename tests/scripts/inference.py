"""Run a model without training it. With --mark, it marks its own steps."""

import sys

import torch
from torch import nn

from harness.steps import rankbench_steps

model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)).eval()
batches = [torch.randn(8, 16)] * 1000
done = 0
try:
    with torch.inference_mode():
        for batch in rankbench_steps(batches) if "--mark" in sys.argv else batches:
            done += 1
            model(batch)
finally:
    print("steps", done)
