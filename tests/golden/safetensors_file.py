"""Reads and writes safetensors files as dictionaries of NumPy arrays: Debian has no package for it."""
import json
import struct

import numpy

TYPES = {"F32": numpy.float32, "F64": numpy.float64, "I32": numpy.int32}


def save(path, arrays):
    header, data = {}, b""
    for name, array in arrays.items():
        array = numpy.ascontiguousarray(array)
        code = next(code for code, kind in TYPES.items() if array.dtype == kind)
        header[name] = {
            "dtype": code,
            "shape": list(array.shape),
            "data_offsets": [len(data), len(data) + array.nbytes],
        }
        data += array.tobytes()
    text = json.dumps(header, sort_keys=True).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text + data)


def load(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header, data = json.loads(file.read(length)), file.read()
    header.pop("__metadata__", None)
    return {
        name: numpy.frombuffer(data[slice(*e["data_offsets"])], TYPES[e["dtype"]]).reshape(e["shape"]).copy()
        for name, e in header.items()
    }
