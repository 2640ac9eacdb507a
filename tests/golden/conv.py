#!/usr/bin/python3
"""Writes conv.txt: PyTorch's convolutions, their gradients, pooling and batch norm."""
import pathlib

import torch
import torch.nn.functional as F

LINES = []


def put(name, numbers):
    LINES.append(" ".join([name] + [repr(float(n)) for n in torch.as_tensor(numbers).flatten().tolist()]))


def rand(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def sums(name, f, *inputs):
    """The value, the gradients of a sum with weights, and those of a sum of the squares of these."""
    inputs = [x.clone().requires_grad_() for x in inputs]
    y = f(*inputs)
    weights = torch.arange(y.numel(), dtype=torch.float64).reshape(y.shape) * 0.1 - 1
    gradients = torch.autograd.grad((y * y * weights).sum(), inputs, create_graph=True)
    again = torch.autograd.grad(sum((g * g).sum() for g in gradients), inputs)
    for i, x in enumerate(inputs):
        put(f"{name}_x{i}", x)
        put(f"{name}_gradient{i}", gradients[i])
        put(f"{name}_second{i}", again[i])
    put(f"{name}_y", y)


torch.manual_seed(5)
sums("plain", lambda x, w: F.conv2d(x, w), rand(2, 3, 5, 6), rand(4, 3, 3, 2))
sums("all", lambda x, w: F.conv2d(x, w, stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2), rand(2, 4, 6, 7),
     rand(6, 2, 3, 2))
sums("depthwise", lambda x, w: F.conv1d(x, w, stride=2, padding=1, groups=3), rand(2, 3, 9), rand(3, 1, 3))
sums("causal", lambda x, w: F.conv1d(F.pad(x, (4, 0)), w, dilation=2), rand(2, 3, 8), rand(4, 3, 3))
sums("max_pool", lambda x: F.max_pool2d(x, (3, 2), stride=(2, 1), padding=(1, 0)), rand(2, 2, 6, 5))
sums("avg_pool", lambda x: F.avg_pool2d(x, (3, 2), stride=(2, 1), padding=(1, 1)), rand(2, 2, 6, 5))
norm = torch.nn.BatchNorm2d(3, dtype=torch.float64)
with torch.no_grad():
    norm.weight.copy_(torch.tensor([1.5, -0.5, 2.0], dtype=torch.float64))
    norm.bias.copy_(torch.tensor([0.1, 0.2, -0.3], dtype=torch.float64))
sums("batch_norm", norm, rand(4, 3, 2, 5))
put("batch_norm_mean", norm.running_mean)
put("batch_norm_variance", norm.running_var)
norm.eval()
sums("batch_norm_eval", norm, rand(2, 3, 2, 5))
pathlib.Path(__file__).with_name("conv.txt").write_text("\n".join(LINES) + "\n")
