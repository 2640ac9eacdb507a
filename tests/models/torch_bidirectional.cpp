// Bidirectional layers, stacked and with unequal lengths, beside PyTorch's: values and gradients.
#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/models/bidirectional.h>
#include <rewind/models/stack.h>
#include <rewind/models/torch_weights.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/padding.h>
#include <rewind/ops/reduce.h>

#include "golden_layers.h"

using namespace rw;
using namespace rw::test;

namespace {

template <class C>
using Layers = Stack<Bidirectional<C>>;

const ArrayFile& golden() {
  static const ArrayFile file = load_arrays(REWIND_SOURCE_DIR "/tests/golden/torch_layers.safetensors");
  return file;
}

template <class C, class Options>
Layers<C> layers(Index depth, const Options& options) {
  Rng rng(1);
  std::vector<Bidirectional<C>> all;
  for (Index l = 0; l < depth; ++l)
    all.push_back(Bidirectional<C>(C(l == 0 ? 2 : 6, 3, rng, options), C(l == 0 ? 2 : 6, 3, rng, options)));
  return Layers<C>(std::move(all));
}

template <class C>
WeightMap map_of(const Layers<C>& net) {
  WeightMap map;
  for (std::size_t i = 0; i < net.depth(); ++i) {
    map.add("", torch_weights(net.layer(i).forward(), {static_cast<int>(i), false}));
    map.add("", torch_weights(net.layer(i).backward(), {static_cast<int>(i), true}));
  }
  return map;
}

// Calls f(tensor, which of a cell's, its row in PyTorch's states) for all tensors of a state.
template <class State, class F>
void for_each_row(State& state, F&& f) {
  for (std::size_t i = 0; i < state.layers.size(); ++i) {
    std::size_t k = 0;
    for_each_tensor(state.layers[i].forward, [&](auto& t) { f(t, k++, static_cast<Index>(2 * i)); });
    k = 0;
    for_each_tensor(state.layers[i].backward, [&](auto& t) { f(t, k++, static_cast<Index>(2 * i + 1)); });
  }
}

template <class C>
void compare(const std::string& name, const Layers<C>& net, bool with_lengths) {
  CAPTURE(name);
  net.to(DType::f64);
  const auto at = [&](const std::string& key) -> const Array& { return golden().at(name + "/" + key); };
  map_of(net).set(arrays_under(golden(), name + "/weight/"), name);
  Tape tape(DType::f64);
  UnrollOptions run;
  if (with_lengths) run.lengths = tape.constant(Array(std::vector<std::int32_t>{2, 4, 3}));
  const char* const initial[] = {"h0", "c0"};
  const char* const last[] = {"hn", "cn"};
  std::vector<std::string> keys{"x"};
  std::vector<Operand> leaves{tape.variable(at("x"))};
  auto state = net.empty_state();
  for_each_row(state, [&](Tensor& t, std::size_t k, Index row) {
    if (k + 1 == leaves.size()) {
      keys.emplace_back(initial[k]);
      leaves.emplace_back(tape.variable(at(initial[k])));
    }
    t = at_step(*leaves[k + 1].tensor(), row);
  });
  const auto states = unroll(net, *leaves[0].tensor(), state, run);
  Tensor y = outputs(net, states);
  if (run.lengths) y = clear_padding(y, *run.lengths);
  check_close("y", y.value(), at("y"), 1e-10);
  Tensor loss = sum(y * tape.constant(at("dy")));
  const auto end = last_state(net, states, run);
  for_each_row(end, [&](const Tensor& t, std::size_t k, Index row) {
    check_close(last[k], t.value(), at_step(tape.constant(at(last[k])), row).value(), 1e-10);
    loss = loss + sum(t * at_step(tape.constant(at(std::string("d") + last[k])), row));
  });
  const auto gradients = grad(loss, leaves);
  for (std::size_t i = 0; i < leaves.size(); ++i)
    check_close("d" + keys[i], gradients[i].value(), at("grad/" + keys[i]), 1e-10);
  net.zero_grad();
  backward(loss);
  for (const NamedParameter& p : net.parameters()) p.parameter->set(Array(p.parameter->grad()));
  for (const NamedArray& a : map_of(net).get()) check_close("d" + a.name, a.array, at("grad/" + a.name), 1e-10);
}

template <class C, class Options>
void compare_kind(const std::string& kind, Options options) {
  options.bias = Bias::two;
  compare(kind + "_both_ways", layers<C>(2, options), false);
  compare(kind + "_lengths", layers<C>(1, options), true);
}

}  // namespace

TEST_CASE("bidirectional layers are PyTorch's, with unequal lengths too") {
  compare_kind<RnnCell>("rnn_tanh", RnnOptions{});
  compare_kind<RnnCell>("rnn_relu", RnnOptions{.activation = RnnOptions::Activation::relu});
  compare_kind<LstmCell>("lstm", LstmOptions{});
  compare_kind<GruCell>("gru", GruOptions{});
}
