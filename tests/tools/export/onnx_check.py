"""Says of each ONNX file in a folder what Debian's checker has against it: onnx_check.py FOLDER."""
import glob
import sys

try:
    import onnx
except ImportError:
    sys.exit(77)

for path in sorted(glob.glob(sys.argv[1] + "/*.onnx")):
    try:
        onnx.checker.check_model(onnx.load(path), full_check=True)
    except Exception as error:
        print(path, str(error).splitlines()[0])
