#!/usr/bin/env python3
"""usage: seeds.py FOLDER     writes the inputs that a fuzzer begins with: one or two of each reader (see readers.cpp)."""
import json, pathlib, struct, sys

root = pathlib.Path(__file__).resolve().parents[3]
folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)


def safetensors(header, data=b''):
  text = json.dumps(header, separators=(',', ':')).encode()
  return struct.pack('<Q', len(text)) + text + data


def write(name, which, data): (folder / name).write_bytes(bytes([which]) + data)


arrays = {'a': {'dtype': 'F32', 'shape': [2], 'data_offsets': [0, 8]}, 'b': {'dtype': 'I32', 'shape': [], 'data_offsets': [8, 12]},
          '__metadata__': {'x': 'y'}}
golden = root / 'tests/golden/v0.2'
write('safetensors', 0, safetensors(arrays, bytes(12)))
write('model', 1, (golden / 'model.safetensors').read_bytes())
write('checkpoint', 2, (golden / 'run.checkpoint').read_bytes())
write('text', 3, 'aé文😀'.encode())
write('options', 4, b'text.txt\n--hidden\n8\n--cell\nlstm+zoneout=0.1\n--rate\n1e-3\n--schedule\nsteps')
write('onnx', 6, (root / 'tests/golden/onnx/rnn_relu.onnx').read_bytes())
write('onnx_text', 6, (root / 'tests/golden/onnx/text.onnx').read_bytes())
write('shown', 5, b'name\x1b[31m\xe9')
write('program', 7, b"""program f32
parameter 0 "W" : (3, 2)
n_W = parameter 0 : (3, 2)
x = input 0 : (4, 2, 3)
h0 = fill(shape=(2, 2)) : (2, 2)
loop t 4
  a = slice(start=0+1*t, length=1) x : (1, 2, 3)
  b = reshape(shape=(2, 3)) a : (2, 3)
  c = matmul b n_W : (2, 2)
  h = add c h[t-1]|t=0:h0 : (2, 2)
end
half = constant : () = 0.5
y = mul h[-1] half : (2, 2)
return y
""")
