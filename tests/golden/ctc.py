#!/usr/bin/python3
"""Writes ctc.txt: PyTorch's ctc_loss and the gradient of the logits in front of log_softmax."""
import pathlib

import torch

LINES = []
T, N, C, S = 7, 5, 4, 3
TARGETS = [[1, 2, 3], [2, 2, 0], [1, 0, 0], [0, 0, 0], [3, 3, 3]]
TARGET_LENGTHS = [3, 2, 1, 0, 3]
INPUT_LENGTHS = [7, 3, 1, 4, 5]


def put(name, numbers):
    LINES.append(" ".join([name] + [repr(float(n)) for n in torch.as_tensor(numbers).flatten().tolist()]))


torch.manual_seed(3)
logits = torch.randn(T, N, C, dtype=torch.float64)
weights = torch.arange(1.0, N + 1, dtype=torch.float64)
put("logits", logits)
put("targets", [[row[s] for row in TARGETS] for s in range(S)])
put("target_lengths", TARGET_LENGTHS)
put("input_lengths", INPUT_LENGTHS)
for blank in (0, 3):
    x = logits.clone().requires_grad_()
    targets = torch.tensor(TARGETS)
    if blank == 3:  # the same words, spelt with 0, 1, 2
        targets = torch.clamp(targets - 1, min=0)
    losses = torch.nn.functional.ctc_loss(x.log_softmax(-1), targets, torch.tensor(INPUT_LENGTHS),
                                          torch.tensor(TARGET_LENGTHS), blank=blank, reduction="none")
    (losses * weights).sum().backward()
    put(f"losses_{blank}", losses)
    put(f"gradient_{blank}", x.grad)
pathlib.Path(__file__).with_name("ctc.txt").write_text("\n".join(LINES) + "\n")
