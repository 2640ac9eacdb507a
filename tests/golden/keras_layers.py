#!/usr/bin/python3
"""Writes keras_layers.safetensors: Keras' recurrent layers in NumPy, from the equations of its documentation.

Of each layer there are its weights by Keras' names ("lstm/weight/kernel"), an input x [steps, batch, in], the first
states and the outputs y and last states.
"""
import pathlib

import numpy as np

import safetensors_file

STEPS, BATCH, IN, UNITS = 4, 3, 2, 3
random = np.random.default_rng(1)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def simple_rnn(x, h, c, kernel, recurrent_kernel, bias):
    return np.tanh(x @ kernel + h @ recurrent_kernel + bias), c


def lstm(x, h, c, kernel, recurrent_kernel, bias):
    i, f, g, o = np.split(x @ kernel + h @ recurrent_kernel + bias, 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def gru(x, h, c, kernel, recurrent_kernel, bias):
    """reset_after=False."""
    xz, xr, xh = np.split(x @ kernel + bias, 3, axis=-1)
    uz, ur, uh = np.split(recurrent_kernel, 3, axis=-1)
    z, r = sigmoid(xz + h @ uz), sigmoid(xr + h @ ur)
    return z * h + (1 - z) * np.tanh(xh + (r * h) @ uh), c


def gru_reset_after(x, h, c, kernel, recurrent_kernel, bias):
    xz, xr, xh = np.split(x @ kernel + bias[0], 3, axis=-1)
    hz, hr, hh = np.split(h @ recurrent_kernel + bias[1], 3, axis=-1)
    z, r = sigmoid(xz + hz), sigmoid(xr + hr)
    return z * h + (1 - z) * np.tanh(xh + r * hh), c


def case(step, gates, bias_rows=None):
    width = gates * UNITS
    weights = {
        "kernel": random.normal(size=(IN, width)),
        "recurrent_kernel": random.normal(size=(UNITS, width)),
        "bias": random.normal(size=(bias_rows, width) if bias_rows else width),
    }
    x, h, c = (random.normal(size=s) for s in [(STEPS, BATCH, IN), (BATCH, UNITS), (BATCH, UNITS)])
    arrays = {"x": x, "h0": h[None], "c0": c[None]}
    y = []
    for x_t in x:
        h, c = step(x_t, h, c, **weights)
        y.append(h)
    arrays |= {"y": np.stack(y), "cn": c[None]}
    arrays |= {"weight/" + key: value for key, value in weights.items()}
    return {f"{step.__name__}/{key}": value for key, value in arrays.items()}


if __name__ == "__main__":
    cases = case(simple_rnn, 1) | case(lstm, 4) | case(gru, 3) | case(gru_reset_after, 3, 2)
    safetensors_file.save(pathlib.Path(__file__).with_suffix(".safetensors"), cases)
