// Runs ONNX files by onnxruntime: onnx_run.js MODULE FOLDER, for each NAME.onnx there with its numbers in NAME.txt (inputs and
// what is expected: a line each of its name, type, rank, lengths and numbers). Prints the largest error of each, relative
// to numbers above 1.
const fs = require('fs'), path = require('path');
const [, , module_, folder] = process.argv;
const ort = require(module_);

const number = (text) => text === 'inf' ? Infinity : text === '-inf' ? -Infinity : Number(text);

function numbers(line) {
  const [name, type, rank, ...rest] = line.split(' ');
  const values = rest.slice(+rank).map(number), dims = rest.slice(0, +rank).map(Number);
  return {name, dims, values, tensor: () => new ort.Tensor(type, type === 'int32' ? Int32Array.from(values)
                        : type === 'float64' ? Float64Array.from(values) : Float32Array.from(values), dims)};
}

async function run(file) {
  const lines = fs.readFileSync(file.replace('.onnx', '.txt'), 'utf8').trim().split('\n').map(numbers);
  const session = await ort.InferenceSession.create(file, {logSeverityLevel: 3, intraOpNumThreads: 1});
  const feeds = {};
  for (const l of lines) if (session.inputNames.includes(l.name)) feeds[l.name] = l.tensor();
  const results = await session.run(feeds);
  let error = 0;
  for (const l of lines) {
    if (session.inputNames.includes(l.name)) continue;
    const y = results[l.name];
    if (String(y.dims) !== String(l.dims)) throw new Error(`${l.name} is [${y.dims}], not [${l.dims}]`);
    l.values.forEach((v, k) => {
      const e = y.data[k] === v ? 0 : Math.abs(y.data[k] - v) / Math.max(1, Math.abs(v));
      error = Math.max(error, Number.isNaN(e) ? Infinity : e);
    });
  }
  return error;
}

(async () => {
  for (const f of fs.readdirSync(folder).filter((f) => f.endsWith('.onnx'))) {
    let said;
    try {
      said = String(await run(path.join(folder, f)));
    } catch (e) {
      said = 'failed: ' + String(e).split('\n')[0];
    }
    console.log(f.slice(0, -5) + ' ' + said);
  }
})();
