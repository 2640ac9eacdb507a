#!/usr/bin/python3
"""Writes schedules.txt: the rates of PyTorch's schedulers, step after step, and their names.

Debian's python3-torch made the file in the repository; tests/models/optim/schedule.cpp compares ours with it.
"""
import pathlib
import warnings

import torch
from torch.optim import lr_scheduler as schedulers

STEPS, RATE = 24, 0.5
LOSSES = [5, 4, 4.2, 4.1, 3.99999, 3, 3.1, 3.2, 3.3, 3.4, 3.5, 3.6, 3.7, 2, 2.1, 2.2, 2.3, 2.4, 2.5, 2.6, 2.7, 2.8, 2.9, 3]


def warm_up(o):
    first = schedulers.LinearLR(o, start_factor=0.1, total_iters=5)
    then = schedulers.CosineAnnealingLR(o, T_max=18, eta_min=0.05)
    return schedulers.SequentialLR(o, [first, then], milestones=[5])


def plateau(**options):
    return lambda o: schedulers.ReduceLROnPlateau(o, **options)


CASES = {
    "step": lambda o: schedulers.StepLR(o, step_size=4, gamma=0.3),
    "exponential": lambda o: schedulers.ExponentialLR(o, gamma=0.9),
    "cosine": lambda o: schedulers.CosineAnnealingLR(o, T_max=23, eta_min=0.05),
    "restarts": lambda o: schedulers.CosineAnnealingWarmRestarts(o, T_0=5, eta_min=0.05),
    "growing": lambda o: schedulers.CosineAnnealingWarmRestarts(o, T_0=3, T_mult=2, eta_min=0.05),
    "warm_up": warm_up,
    "plateau": plateau(factor=0.5, patience=2, threshold=1e-4),
    "plateau_cooldown": plateau(factor=0.3, patience=1, threshold=1e-4, cooldown=2, min_lr=0.02, eps=0),
}


def rates(make):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)
    scheduler = make(optimizer)
    for t in range(STEPS):
        yield optimizer.param_groups[0]["lr"]
        optimizer.step()
        scheduler.step(LOSSES[t]) if isinstance(scheduler, schedulers.ReduceLROnPlateau) else scheduler.step()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    with open(pathlib.Path(__file__).with_suffix(".txt"), "w") as out:
        for name, make in CASES.items():
            print(name, *(repr(rate) for rate in rates(make)), file=out)
