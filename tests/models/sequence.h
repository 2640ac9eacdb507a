#pragma once

// What the tests of sequences share: sizes, an input, and a user's own cell.

#include <rewind/models/lstm_cell.h>
#include <rewind/models/stack.h>
#include <rewind/models/unroll.h>
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

// A user's cell: the minimal gated unit (Zhou et al., 2016).
class MguCell : public Module {
 public:
  struct State {
    Tensor h;
  };
  MguCell(Index in, Index hidden, Rng& rng)
      : W_(param("W", glorot(rng, in, 2 * hidden))),
        U_(param("U", orthogonal(rng, hidden))),
        V_(param("V", orthogonal(rng, hidden))),
        b_(param("b", zeros(2 * hidden))),
        hidden_(hidden) {}
  State zero_state(Tape& tape, Index batch) const { return {tape.constant(zeros(batch, hidden_))}; }
  State step(Tensor x, State s) const {
    auto [zf, zn] = split<2>(matmul(x, W_) + b_);
    Tensor f = sigmoid(zf + matmul(s.h, U_));
    Tensor n = tanh(zn + matmul(f * s.h, V_));
    return {s.h + f * (n - s.h)};
  }

 private:
  Parameter &W_, &U_, &V_, &b_;
  Index hidden_;
};
static_assert(Cell<MguCell> && !ProjectedCell<MguCell>);

inline Stack<LstmCell> two_layers(Rng& rng, double dropout = 0) {
  std::vector<LstmCell> layers;
  layers.emplace_back(I, H, rng);
  layers.emplace_back(H, H + 1, rng);
  return Stack<LstmCell>(std::move(layers), {.dropout = dropout});
}

}  // namespace rw::test
