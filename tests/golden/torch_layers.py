#!/usr/bin/python3
"""Writes torch_layers.safetensors: PyTorch's layers in double precision, forward and backward.

Debian's python3-torch made the file in the repository; tests/models/weights/torch.cpp compares ours with it. Of each
layer there are its weights ("lstm/weight/weight_ih_l0"), an input x and its initial states, the output y and the last
states, what was sent back into those ("dy", "dhn", "dcn"), and the gradients of all weights, of x and of the states.
"""
import pathlib

import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import safetensors_file

STEPS, BATCH, IN, HIDDEN = 4, 3, 2, 3
LENGTHS = [2, 4, 3]


def numbers(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def finish(name, layer, arrays, sent):
    """Sends random numbers back into the results and collects the case's arrays."""
    back = {"d" + key: numbers(*value.shape) for key, value in sent.items()}
    sum((sent[key] * back["d" + key]).sum() for key in sent).backward()
    out = {f"weight/{key}": value for key, value in layer.state_dict().items()}
    out.update({f"grad/{key}": value.grad for key, value in layer.named_parameters()})
    out.update({f"grad/{key}": value.grad for key, value in arrays.items() if value.grad is not None})
    out.update({**arrays, **sent, **back})
    return {f"{name}/{key}": value.detach().numpy() for key, value in out.items()}


def recurrent(name, layer, lengths=None):
    layer = layer.double()
    rows = layer.num_layers * (2 if layer.bidirectional else 1)
    arrays = {"x": numbers(STEPS, BATCH, IN), "h0": numbers(rows, BATCH, layer.proj_size or HIDDEN)}
    lstm = isinstance(layer, torch.nn.LSTM)
    if lstm:
        arrays["c0"] = numbers(rows, BATCH, HIDDEN)
    for array in arrays.values():
        array.requires_grad_()
    x = pack_padded_sequence(arrays["x"], lengths, enforce_sorted=False) if lengths else arrays["x"]
    y, last = layer(x, (arrays["h0"], arrays["c0"]) if lstm else arrays["h0"])
    y = pad_packed_sequence(y, total_length=STEPS)[0] if lengths else y
    sent = {"y": y, "hn": last[0], "cn": last[1]} if lstm else {"y": y, "hn": last}
    return finish(name, layer, arrays, sent)


def linear(name, layer):
    arrays = {"x": numbers(BATCH, IN).requires_grad_()}
    layer = layer.double()
    return finish(name, layer, arrays, {"y": layer(arrays["x"])})


def embedding():
    layer = torch.nn.Embedding(5, HIDDEN).double()
    indices = torch.tensor([[3, 0, 3], [1, 4, 0]], dtype=torch.int32)
    return finish("embedding", layer, {"x": indices}, {"y": layer(indices)})


def cases():
    kinds = {
        "rnn_tanh": lambda **k: torch.nn.RNN(IN, HIDDEN, nonlinearity="tanh", **k),
        "rnn_relu": lambda **k: torch.nn.RNN(IN, HIDDEN, nonlinearity="relu", **k),
        "lstm": lambda **k: torch.nn.LSTM(IN, HIDDEN, **k),
        "gru": lambda **k: torch.nn.GRU(IN, HIDDEN, **k),
    }
    all_arrays = {}
    for kind, make in kinds.items():
        all_arrays |= recurrent(kind, make())
        all_arrays |= recurrent(kind + "_no_bias", make(bias=False))
        all_arrays |= recurrent(kind + "_stacked", make(num_layers=2))
        all_arrays |= recurrent(kind + "_both_ways", make(num_layers=2, bidirectional=True))
        all_arrays |= recurrent(kind + "_lengths", make(bidirectional=True), LENGTHS)
    all_arrays |= recurrent("lstm_projected", torch.nn.LSTM(IN, HIDDEN, proj_size=2, num_layers=2))
    all_arrays |= linear("linear", torch.nn.Linear(IN, HIDDEN))
    all_arrays |= linear("linear_no_bias", torch.nn.Linear(IN, HIDDEN, bias=False))
    return all_arrays | embedding()


if __name__ == "__main__":
    torch.manual_seed(1)
    safetensors_file.save(pathlib.Path(__file__).with_suffix(".safetensors"), cases())
