"""The functions and structs of librewind.so against those of the last release, tests/c/librewind.abi: what programs were
built with stays. usage: abi.py LIBRARY [--write]     --write makes the file anew, for a release"""
import pathlib, shutil, subprocess, sys, tempfile

HERE = pathlib.Path(__file__).resolve().parent
if not shutil.which('abidw'):
  print('skipped: abidw is not installed (abigail-tools)')
  sys.exit(0)
with tempfile.TemporaryDirectory() as folder:
  out = HERE / 'librewind.abi' if '--write' in sys.argv else pathlib.Path(folder) / 'now.abi'
  subprocess.run(['abidw', '--suppressions', HERE / 'librewind.abignore', '--drop-undefined-syms', '--no-corpus-path',
                  '--no-show-locs', '--no-comp-dir-path', '--no-elf-needed', '--out-file', out, sys.argv[1]], check=True)
  if '--write' not in sys.argv:
    diff = subprocess.run(['abidiff', '--no-added-syms', HERE / 'librewind.abi', out], capture_output=True, text=True)
    print(diff.stdout, diff.stderr)
    assert diff.returncode == 0, 'the interface is not what it was'
