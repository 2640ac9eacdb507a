#!/usr/bin/python3
"""Writes optimizers.txt: weights after six steps of PyTorch's optimizers in double precision.

Debian's python3-torch made the file in the repository; the test compares ours with it. The gradient at step t
(0, 1, ...) is sin(3 w + t), so that it depends on the weights and never repeats.
"""
import pathlib

import torch

START = [0.3, -0.7, 1.9]
STEPS = 6


def run(make):
    w = torch.nn.Parameter(torch.tensor(START, dtype=torch.float64))
    optimizer = make([w])
    for t in range(STEPS):
        w.grad = torch.sin(3 * w.detach() + t)
        optimizer.step()
    return w.detach().tolist()


CASES = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.8, nesterov=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.02, alpha=0.95, eps=1e-8),
    "adam": lambda p: torch.optim.Adam(p, lr=0.03, betas=(0.8, 0.95), eps=1e-6),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.03, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1),
    "momentum_l2": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=0.2),
    "rmsprop_l2": lambda p: torch.optim.RMSprop(p, lr=0.02, alpha=0.95, eps=1e-8, weight_decay=0.2),
    "adam_l2": lambda p: torch.optim.Adam(p, lr=0.03, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.2),
}

if __name__ == "__main__":
    with open(pathlib.Path(__file__).with_suffix(".txt"), "w") as out:
        for name, make in CASES.items():
            print(name, *(repr(w) for w in run(make)), file=out)
