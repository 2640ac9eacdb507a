#!/usr/bin/env python3
"""A model of `rewind train` in Python, with numpy and librewind.so alone: writes a text, then learns a new one.
usage: sample.py librewind.so MODEL [PROMPT [TEXT_TO_LEARN]]"""
import ctypes, sys
import numpy as np

rewind = ctypes.CDLL(sys.argv[1])
rewind.rw_last_error.restype = ctypes.c_char_p
pointer = ctypes.pythonapi.PyCapsule_GetPointer
pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]


def call(name, *arguments):
  """One function of rewind_c.h; arrays go as DLPack."""
  capsules = [a.__dlpack__() if isinstance(a, np.ndarray) else None for a in arguments]
  c = [ctypes.c_void_p(pointer(k, b'dltensor')) if k else a for a, k in zip(arguments, capsules)]
  if getattr(rewind, name)(*c) != 0: raise RuntimeError(rewind.rw_last_error().decode())


class Info(ctypes.Structure):
  _fields_ = [(n, ctypes.c_int64) for n in ('vocabulary', 'layers', 'hidden', 'arrays', 'parameters')]


def encode(model, text):
  numbers, count = np.zeros(len(text), np.int32), ctypes.c_size_t()
  call('rw_model_encode', model, text.encode(), numbers.ctypes.data_as(ctypes.c_void_p), ctypes.c_size_t(len(text)),
       ctypes.byref(count))
  return numbers


def sample(model, info, prompt, length, rng):
  call('rw_model_reset', model, ctypes.c_int64(1))
  logits, utf8, out = np.zeros((1, info.vocabulary), np.float32), ctypes.create_string_buffer(5), prompt
  for character in encode(model, prompt): call('rw_model_step', model, np.array([character], np.int32), logits)
  for _ in range(length):
    p = np.exp(logits[0].astype(float) - logits.max())
    character = rng.choice(info.vocabulary, p=p / p.sum())
    call('rw_model_decode', model, ctypes.c_int32(character), utf8)
    out += utf8.value.decode()
    call('rw_model_step', model, np.array([character], np.int32), logits)
  return out


def fine_tune(model, text, streams=4, steps=16, epochs=20):
  """Losses in nats a character."""
  numbers = encode(model, text)
  chunks = (len(numbers) - 1) // (streams * steps)
  cut = lambda a: a[:streams * steps * chunks].reshape(streams, chunks, steps).transpose(1, 2, 0)  # [chunk, T, N]
  call('rw_model_optimizer', model, b'adam', ctypes.c_double(0.003), ctypes.c_double(5))
  for _ in range(epochs):
    call('rw_model_reset', model, ctypes.c_int64(streams))
    for x, y in zip(cut(numbers), cut(numbers[1:])):
      loss = ctypes.c_double()
      call('rw_model_train', model, x, y, ctypes.byref(loss))
      yield loss.value


if __name__ == '__main__':
  model, info = ctypes.c_uint64(), Info()
  call('rw_model_load', sys.argv[2].encode(), ctypes.byref(model))
  call('rw_model_describe', model, ctypes.byref(info))
  prompt = sys.argv[3] if len(sys.argv) > 3 else 'The '
  print(sample(model, info, prompt, 200, np.random.default_rng(1)))
  if len(sys.argv) > 4:
    losses = list(fine_tune(model, open(sys.argv[4]).read()))
    print(f'learning {sys.argv[4]}: from {losses[0]:.3f} to {losses[-1]:.3f} nats a character')
  call('rw_model_free', model)
