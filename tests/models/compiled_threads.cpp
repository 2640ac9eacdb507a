#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/compile/compile.h>
#include <rewind/core/threads.h>
#include <rewind/models/cells/any_cell.h>

#include "layers.h"

using namespace rw;
using namespace rw::test;

namespace {

/// A training step: its values and gradients, of a plan made and run by so many threads.
template <class L>
std::vector<Array> training_step(const L& layer, const Array& x, int with, std::string* explained = nullptr) {
  set_threads(with);
  const auto f = [&](Tape& tape, Tensor in) {
    const auto states = unroll(layer, in, layer.zero_state(tape, in.shape()[1]));
    const Tensor all = outputs(layer, states);
    backward(asymmetric(all));
    return all;
  };
  auto step = compile(f, CompileOptions{.verify = true, .branch_from = 0}, x);
  if (explained != nullptr) *explained = step.explain();
  std::vector<Array> out;
  for (int replay = 0; replay < 3; ++replay) {
    out.clear();
    layer.zero_grad();
    out.push_back(step(x).array());
    for (const NamedParameter& p : layer.parameters()) out.push_back(p.parameter->grad());
  }
  return out;
}

template <class L>
void check_threads(const L& layer, const Array& x, bool lanes = true) {
  const int before = threads();
  const auto one = training_step(layer, x, 1);
  for (const int n : {2, 3}) {
    CAPTURE(n);
    std::string explained;
    const auto many = training_step(layer, x, n, &explained);
    if (lanes) CHECK(explained.find("side by side: ") != std::string::npos);
    REQUIRE(many.size() == one.size());
    for (std::size_t i = 0; i < one.size(); ++i) CHECK(many[i] == one[i]);
  }
  set_threads(before);
}

Stack<AnyCell> stack_of(const std::vector<std::string_view>& cells, const std::vector<Index>& widths,
                        const StackOptions& options = {}) {
  Rng rng(3);
  std::vector<AnyCell> layers;
  for (std::size_t i = 0; i < cells.size(); ++i)
    layers.push_back(make_cell(cells[i], i == 0 ? 6 : widths[i - 1], widths[i], rng));
  return Stack<AnyCell>(std::move(layers), options);
}

Array input(Index steps, Index batch, Index width) {
  Rng rng(5);
  return uniform(rng, {steps, batch, width}, -1, 1);
}

}  // namespace

TEST_CASE("stacks of any cells and widths have the bits of one thread") {
  const Array x = input(16, 3, 6);
  check_threads(stack_of({"lstm", "lstm"}, {16, 16}), x);
  check_threads(stack_of({"gru", "lstm", "mgu"}, {24, 8, 16}), x);
  check_threads(stack_of({"rnn", "lstm+peepholes+norm", "gru-before", "lstm+projection=8"}, {20, 16, 16, 12}), x);
  check_threads(stack_of({"lstm", "gru"}, {16, 16}, {.residual = true}), x);
}

TEST_CASE("stacks with dropout have the bits of one thread") {
  const auto layers = stack_of({"lstm", "lstm", "lstm"}, {16, 16, 16}, {.dropout = 0.5});
  check_threads(layers, input(16, 3, 6));
}

TEST_CASE("bidirectional stacks have the bits of one thread") {
  check_threads(two_bidirectional<LstmCell>(6, 16), input(12, 3, 6));
  check_threads(two_bidirectional<GruCell>(6, 20), input(12, 3, 6));
}
