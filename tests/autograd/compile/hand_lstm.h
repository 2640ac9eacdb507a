#pragma once

// An LSTM of primitive ops, as a user would write it, for the compiler's tests.

#include <vector>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/structural.h>
#include <rewind/core/random.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/matmul.h>

namespace rw::test {

inline Array random_array(const Shape& shape, std::uint64_t seed, double scale = 1, DType dtype = DType::f32) {
  Array out(shape, DType::f64);
  std::uint64_t s = seed * 0x9e3779b97f4a7c15ull + 1;
  for (double& x : out.span<double>()) {
    s ^= s << 13, s ^= s >> 7, s ^= s << 17;
    x = scale * (static_cast<double>(s >> 11) / 4503599627370496.0 - 1);
  }
  return out.to(dtype);
}

struct LstmState {
  Tensor h, c;
};

struct HandLstm {
  Parameter W, R, b;
  Index hidden;

  HandLstm(Index in, Index h, std::uint64_t seed = 1, DType dtype = DType::f32)
      : W("W", random_array(Shape{in, 4 * h}, seed, 0.3, dtype)),
        R("R", random_array(Shape{h, 4 * h}, seed + 1, 0.3, dtype)),
        b("b", random_array(Shape{4 * h}, seed + 2, 0.3, dtype)),
        hidden(h) {}

  LstmState step(Tensor x, LstmState s) {
    const Tensor z = matmul(x, W) + matmul(s.h, R) + b;
    const auto gate = [&](Index k) { return record(Slice{1, k * hidden, hidden}, {z}); };
    const Tensor c = sigmoid(gate(1)) * s.c + sigmoid(gate(0)) * tanh(gate(2));
    return {sigmoid(gate(3)) * tanh(c), c};
  }

  /// x is [T, N, I]; the states of all steps.
  std::vector<LstmState> unroll(Tensor x, LstmState s) {
    std::vector<LstmState> states;
    const Shape shape = x.shape();
    for (Index t = 0; t < shape[0]; ++t) {
      const Scope scope(x.tape(), "t", t);
      const Tensor xt = record(Reshape{Shape{shape[1], shape[2]}}, {record(Slice{0, t, 1}, {x})});
      s = step(xt, s);
      states.push_back(s);
    }
    return states;
  }
};

/// The sum of all elements.
inline Tensor total(Tensor x) { return record(SumTo{Shape{}}, {x}); }

/// Values along a new first axis.
inline Tensor stack(const std::vector<Tensor>& xs) {
  std::vector<Operand> pieces;
  for (const Tensor& x : xs) pieces.emplace_back(record(Reshape{x.shape().inserted(0, 1)}, {x}));
  return record(Concat{0}, std::span<const Operand>(pieces));
}

/// The sum of all h.
inline Tensor sum_of_h(const std::vector<LstmState>& states) {
  std::vector<Tensor> h;
  for (const LstmState& s : states) h.push_back(s.h);
  return total(stack(h));
}

}  // namespace rw::test
