#pragma once

// What the tests of gradcheck check.

#include <rewind/core/random.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/matmul.h>
#include <rewind/tools/gradcheck/gradcheck.h>

namespace rw::test {

inline Array random(const Shape& shape, std::uint64_t seed, DType dtype = DType::f64) {
  Array out(shape, DType::f64);
  Rng rng(seed);
  for (double& x : out.span<double>()) x = rng.normal() * 0.5;
  return out.to(dtype);
}

// A cell of one weight matrix, by hand: h <- tanh(x W + h U + b), T steps.
struct Net {
  Parameter W{"W", random({3, 4}, 1)}, U{"U", random({4, 4}, 2)}, b{"b", random({4}, 3)};
  Array x = random({2, 3}, 4);
  CheckedParameters all() { return {W, U, b}; }
  Tensor operator()(Tape& t) {
    Tensor h = t.constant(zeros(2, 4));
    for (Index step = 0; step < 3; ++step) {
      Scope scope(t, "t", step);
      h = tanh(matmul(t.constant(x), W) + matmul(h, U) + b);
    }
    return h;
  }
};

}  // namespace rw::test
