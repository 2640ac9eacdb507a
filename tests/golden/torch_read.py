#!/usr/bin/python3
"""usage: torch_read.py FOLDER: loads FOLDER/NAME.safetensors, strictly, into the layer of that name in PyTorch, and
compares its output for x with y of FOLDER/NAME.values.safetensors; then writes the layer's state dict back, all of it
times 2, as FOLDER/NAME.back.safetensors. Ends with 77 when there is no PyTorch."""
import pathlib
import sys

try:
    import torch
except ImportError:
    sys.exit(77)

import safetensors_file

LAYERS = {
    "rnn": torch.nn.RNN(2, 3, num_layers=2, nonlinearity="relu"),
    "lstm": torch.nn.LSTM(2, 3, num_layers=2, bidirectional=True),
    "gru": torch.nn.GRU(2, 3),
    "linear": torch.nn.Linear(2, 3),
    "embedding": torch.nn.Embedding(5, 3),
}


def check(folder, name, layer):
    arrays = safetensors_file.load(folder / f"{name}.safetensors")
    layer.double().load_state_dict({key: torch.from_numpy(value) for key, value in arrays.items()}, strict=True)
    values = safetensors_file.load(folder / f"{name}.values.safetensors")
    y = layer(torch.from_numpy(values["x"]))
    y = (y[0] if isinstance(y, tuple) else y).detach().numpy()
    assert y.shape == values["y"].shape and abs(y - values["y"]).max() < 1e-12, f"{name}: the outputs differ"
    twice = {key: 2 * value.numpy() for key, value in layer.state_dict().items()}
    safetensors_file.save(folder / f"{name}.back.safetensors", twice)


if __name__ == "__main__":
    for layer_name, module in LAYERS.items():
        check(pathlib.Path(sys.argv[1]), layer_name, module)
