#pragma once

// What the tests of cells share.

#include <rewind/models/sequence/unroll.h>

#include "../differences.h"

namespace rw::test {

/// All parameters f64 and away from 0, so that no term of a value or gradient vanishes.
inline void randomise(const Module& module) {
  Rng rng(3);
  module.to(DType::f64);
  for (const NamedParameter& p : module.parameters())
    for (Index i = 0; i < p.parameter->size(); ++i) p.parameter->edit().as<double>()[i] = rng.uniform(-0.8, 0.8);
}

/// A state of random constants, so that no term of its first step vanishes either.
template <class C>
typename C::State random_state(const C& cell, Tape& tape, Index batch) {
  Rng rng(5);
  return map_state(cell.zero_state(tape, batch), [&](Tensor t) {
    Array value(t.shape(), DType::f64);
    for (double& v : value.span<double>()) v = rng.uniform(-0.5, 0.5);
    return tape.constant(value);
  });
}

/// First and second derivatives of outputs and last state along x [T, N, in].
template <class C>
void check_gradients(const C& cell, const Array& x) {
  randomise(cell);
  const auto loss = [&](Tape& tape) {
    const auto states = unroll(cell, tape.constant(x), random_state(cell, tape, x.shape()[1]));
    Tensor total = asymmetric(outputs(cell, states));
    for_each_tensor(states.back(), [&](const Tensor& t) { total = total + asymmetric(t, 5); });
    return total;
  };
  CHECK(first_order_error(cell, loss) < 1e-8);
  CHECK(second_order_error(cell, loss) < 1e-7);
}

}  // namespace rw::test
