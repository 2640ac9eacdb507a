#pragma once

// What the tests of sequences share: sizes, an input, and a user's own cell.

#include <rewind/models/cells/lstm.h>
#include <rewind/models/sequence/stack.h>
#include <rewind/models/sequence/unroll.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/matmul.h>
#include <rewind/ops/view.h>

#include "differences.h"

namespace rw::test {

inline constexpr Index T = 4, N = 2, I = 3, H = 5;

inline Array sequence(Index steps = T, Index width = I) {
  Rng rng(7);
  return uniform(rng, {steps, N, width}, -1, 1);
}

inline double distance(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  const auto x = a.array().to_vector<double>(), y = b.array().to_vector<double>();
  double most = 0;
  for (std::size_t i = 0; i < x.size(); ++i) most = std::max(most, std::abs(x[i] - y[i]));
  return most;
}

// A user's cell: the update gate RNN (Collins, Sohl-Dickstein and Sussillo, 2017).
class UgrnnCell : public Module {
 public:
  struct State {
    Tensor h;
  };
  UgrnnCell(Index in, Index hidden, Rng& rng)
      : Module("ugrnn"),
        W_(param("W", glorot(rng, in, 2 * hidden))),
        R_(param("R", glorot(rng, hidden, 2 * hidden))),
        b_(param("b", zeros(2 * hidden))),
        hidden_(hidden) {}
  State zero_state(Tape& tape, Index batch) const { return {tape.constant(zeros(batch, hidden_))}; }
  State step(Tensor x, State s) const {
    auto [zg, zn] = split<2>(matmul(x, W_) + matmul(s.h, R_) + b_);
    Tensor g = sigmoid(zg), n = tanh(zn);
    return {n + g * (s.h - n)};
  }

 private:
  Parameter &W_, &R_, &b_;
  Index hidden_;
};
static_assert(Cell<UgrnnCell> && !ProjectedCell<UgrnnCell>);

inline Stack<LstmCell> two_layers(Rng& rng, double dropout = 0) {
  std::vector<LstmCell> layers;
  layers.emplace_back(I, H, rng);
  layers.emplace_back(H, H + 1, rng);
  return Stack<LstmCell>(std::move(layers), {.dropout = dropout});
}

}  // namespace rw::test
