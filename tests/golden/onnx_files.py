#!/usr/bin/python3
"""Writes onnx/NAME.onnx, what PyTorch exports for networks of recurrent layers, and onnx/NAME.txt, inputs of other
sizes than those exported with and what PyTorch makes of them.

Debian's python3-torch made the files in the repository; tests/tools/export/onnx_load.cpp compares ours with them. A line
of NAME.txt is an array: its name, element type, rank, lengths and numbers.
"""
import pathlib
import warnings

import torch
from torch import nn

FOLDER = pathlib.Path(__file__).parent / "onnx"
IN, HIDDEN = 3, 4


class Network(nn.Module):
    """A recurrent layer and a linear one; gives the last states too."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.head = nn.Linear(HIDDEN * (2 if layer.bidirectional else 1), 2)

    def forward(self, x, *state):
        start = None if not state else state if len(state) > 1 else state[0]
        y, last = self.layer(x, start)
        return (self.head(y), *last) if isinstance(last, tuple) else (self.head(y), last)


class Text(nn.Module):
    """An embedding, a layer, and what follows the last step of it."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, IN)
        self.layer = nn.LSTM(IN, HIDDEN, batch_first=True)
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(HIDDEN, 5), nn.ReLU(), nn.Linear(5, 7))

    def forward(self, x):
        y, _ = self.layer(self.embedding(x))
        return torch.log_softmax(self.head(y[:, -1]), -1)


class Padded(nn.Module):
    """Sequences of unequal lengths."""

    def __init__(self):
        super().__init__()
        self.layer = nn.GRU(IN, HIDDEN, bidirectional=True)

    def forward(self, x, lengths):
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths)
        y, last = self.layer(packed)
        return nn.utils.rnn.pad_packed_sequence(y)[0], last


class Equations(nn.Module):
    """Gates written out, between other ops."""

    def __init__(self):
        super().__init__()
        self.gates = nn.Linear(IN, 2 * HIDDEN)
        self.scale = nn.Parameter(torch.randn(HIDDEN))

    def forward(self, x):
        z, n = self.gates(x).chunk(2, -1)
        h = torch.sigmoid(z) * torch.tanh(n * self.scale) - 0.5
        return torch.softmax(torch.cat([h, h.mean(0, keepdim=True).expand_as(h)], -1).flatten(1), -1)


def line(name, value):
    kind = "int32" if value.dtype == torch.int64 else "float32"
    numbers = [str(int(v)) if kind == "int32" else f"{float(v):.9g}" for v in value.flatten()]
    return " ".join([name, kind, str(value.dim()), *map(str, value.shape), *numbers]) + "\n"


def write(name, network, inputs, axes, outputs, opset):
    """`inputs(steps, batch)` gives arrays by name; `axes` are those that are open, by input."""
    network.eval()
    example, other = inputs(5, 2), inputs(7, 3)
    FOLDER.mkdir(exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network, tuple(example.values()), FOLDER / f"{name}.onnx", opset_version=opset,
                          input_names=list(example), output_names=outputs, dynamic_axes=axes)
    with torch.no_grad():
        results = network(*other.values())
    results = results if isinstance(results, tuple) else (results,)
    lines = [line(key, value) for key, value in other.items()]
    lines += [line(key, value) for key, value in zip(outputs, results)]
    (FOLDER / f"{name}.txt").write_text("".join(lines))


def recurrent(name, layer, opset, states=False):
    lstm, batch_first = isinstance(layer, nn.LSTM), layer.batch_first
    rows = layer.num_layers * (2 if layer.bidirectional else 1)

    def inputs(steps, batch):
        out = {"x": torch.randn(*((batch, steps) if batch_first else (steps, batch)), IN)}
        for key in ("h0", "c0")[: (2 if lstm else 1) if states else 0]:
            out[key] = torch.randn(rows, batch, HIDDEN)
        return out

    axes = {"x": {0: "N", 1: "T"} if batch_first else {0: "T", 1: "N"}, "h0": {1: "N"}, "c0": {1: "N"}}
    axes = {key: axes[key] for key in inputs(1, 1)}
    write(name, Network(layer), inputs, axes, ["y", "hn", "cn"] if lstm else ["y", "hn"], opset)


def main():
    torch.manual_seed(1)
    layers = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
    for kind, make in layers.items():
        recurrent(kind, make(IN, HIDDEN), 17)
        recurrent(f"{kind}_batch_first", make(IN, HIDDEN, 2, batch_first=True), 14, states=True)
        recurrent(f"{kind}_both", make(IN, HIDDEN, 2, bidirectional=True), 13)
        recurrent(f"{kind}_both_batch_first", make(IN, HIDDEN, bidirectional=True, batch_first=True, bias=False), 9)
    recurrent("rnn_relu", nn.RNN(IN, HIDDEN, nonlinearity="relu"), 17, states=True)
    write("text", Text(), lambda steps, batch: {"x": torch.randint(0, 7, (batch, steps))}, {"x": {0: "N", 1: "T"}},
          ["y"], 17)
    # PyTorch writes the batch of such a file down as a number.
    write("padded", Padded(),
          lambda steps, _: {"x": torch.randn(steps, 2, IN), "lengths": torch.tensor([steps, steps - 3])}, {"x": {0: "T"}},
          ["y", "hn"], 17)
    write("equations", Equations(), lambda steps, batch: {"x": torch.randn(steps, batch, IN)}, {"x": {0: "T", 1: "N"}},
          ["y"], 17)


if __name__ == "__main__":
    main()
