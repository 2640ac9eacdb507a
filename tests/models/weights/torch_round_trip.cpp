// Files for PyTorch, read and written by PyTorch itself. Debian's python3-torch need not be installed: ctest says
// "skipped" then.

#include <cstdlib>
#include <iostream>

#include <doctest/doctest.h>

#include <rewind/models/weights/torch.h>

#include "../../paths.h"
#include "../folder.h"
#include "golden_layers.h"

using namespace rw;
using namespace rw::test;

namespace {

// Writes the weights, an input, and our output.
void write(const Folder& folder, const std::string& name, const WeightMap& map, const Array& x, const Tensor& y) {
  map.save(folder / (name + ".safetensors"));
  save_arrays(folder / (name + ".values.safetensors"), ArrayFile{{{"x", x}, {"y", y.array()}}, {}});
}

template <class L>
WeightMap write_layer(const Folder& folder, const std::string& name, const L& layer) {
  layer.to(DType::f64);
  Rng rng(2);
  const Array x = uniform(rng, {4, 2, 2}, -1, 1).to(DType::f64);
  Tape tape(DType::f64);
  const Tensor input = tape.constant(x);
  write(folder, name, torch_weights(layer), x, outputs(layer, unroll(layer, input, layer.zero_state(tape, 2))));
  return torch_weights(layer);
}

}  // namespace

TEST_CASE("PyTorch reads our state dicts, computes what we compute, and we read its") {
  Rng rng(1);
  const Folder folder;
  const CellOptions biased{.bias = Bias::two, .biases = Init::uniform(0.5)};
  const auto rnn = stacked<RnnCell>({2, 3}, 3, RnnOptions{.activation = RnnOptions::Activation::relu}, biased);
  const auto lstm = stacked_both_ways<LstmCell>({2, 6}, 3, biased);
  const auto gru = stacked<GruCell>({2}, 3, biased);
  Linear linear(2, 3, rng);
  Embedding embedding(5, 3, rng);
  std::vector<std::pair<std::string, WeightMap>> maps{{"rnn", write_layer(folder, "rnn", rnn)},
                                                      {"lstm", write_layer(folder, "lstm", lstm)},
                                                      {"gru", write_layer(folder, "gru", gru)},
                                                      {"linear", torch_weights(linear)},
                                                      {"embedding", torch_weights(embedding)}};
  linear.to(DType::f64);
  embedding.to(DType::f64);
  Tape tape(DType::f64);
  const Array x = uniform(rng, {4, 2}, -1, 1).to(DType::f64), indices({3, 0, 4, 4}, {4});
  write(folder, "linear", maps[3].second, x, linear(tape.constant(x)));
  write(folder, "embedding", maps[4].second, indices, embedding(tape.constant(indices)));

  const std::string script = source_dir() + "/tests/golden/torch_read.py";
  const int code =
      std::system(("PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 '" + script + "' '" + folder / "" + "'").c_str());
  if (WEXITSTATUS(code) == 77 || WEXITSTATUS(code) == 127) {
    std::cout << "skipped: python3-torch is not installed (tools/setup torch)\n";
    return;
  }
  REQUIRE(code == 0);
  for (const auto& named : maps) {
    CAPTURE(named.first);
    const std::vector<NamedArray> before = named.second.get();
    named.second.load(folder / (named.first + ".back.safetensors"));
    const std::vector<NamedArray> after = named.second.get();
    for (std::size_t i = 0; i < before.size(); ++i) {
      const auto a = before[i].array.to_vector<double>(), b = after[i].array.to_vector<double>();
      for (std::size_t k = 0; k < a.size(); ++k) CHECK(b[k] == 2 * a[k]);
    }
  }
}
