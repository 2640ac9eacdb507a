"""Runs examples/python/sample.py: it must write a text and learn another one. usage: python.py LIBRARY MODEL"""
import pathlib, re, subprocess, sys, tempfile

PYTHON = '/usr/bin/python3'  # Debian's, which has Debian's numpy
ROOT = pathlib.Path(__file__).resolve().parents[2]

if subprocess.run([PYTHON, '-c', 'import numpy'], capture_output=True).returncode != 0:
  print('skipped: numpy is not installed (python3-numpy)')
  sys.exit(0)
with tempfile.TemporaryDirectory() as folder:
  text = pathlib.Path(folder) / 'text'
  known = subprocess.run([PYTHON, '-c', f'''
import ctypes, sys
r = ctypes.CDLL({sys.argv[1]!r}); m = ctypes.c_uint64(); c = ctypes.create_string_buffer(5)
assert r.rw_model_load({sys.argv[2]!r}.encode(), ctypes.byref(m)) == 0
assert r.rw_model_decode(m, 0, c) == 0; a = c.value.decode()
assert r.rw_model_decode(m, 1, c) == 0; print(repr(a + c.value.decode()))'''], capture_output=True, text=True, check=True)
  pair = eval(known.stdout)
  text.write_text(pair * 400)
  run = subprocess.run([PYTHON, ROOT / 'examples/python/sample.py', sys.argv[1], sys.argv[2], pair, text],
                       capture_output=True, text=True)
  print(run.stdout, run.stderr)
  assert run.returncode == 0 and run.stdout.startswith(pair)
  first, last = map(float, re.search(r'from ([\d.]+) to ([\d.]+)', run.stdout).groups())
  assert last < first / 2, 'it did not learn'
