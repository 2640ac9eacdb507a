#pragma once

// Gradients of modules against central differences, in f64, first and second order.

#include <cmath>
#include <functional>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/models/module.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/reduce.h>

namespace rw::test {

/// A scalar in which every element of x has another weight: a plain sum hides wrong rules.
inline Tensor asymmetric(Tensor x, double phase = 0) {
  Array weights(x.shape(), DType::f64);
  double k = phase;
  for (double& w : weights.span<double>()) w = std::sin(1.0 + 0.7 * k++) + 0.3;
  return sum(x * x.tape().constant(weights));
}

using Loss = std::function<Tensor(Tape&)>;

inline double value_of(const Loss& loss) {
  Tape tape(DType::f64);
  return loss(tape).item();
}

/// The largest error of dloss/dp against (f(p + e) - f(p - e)) / 2e over all elements of all parameters, relative to
/// the larger of 1 and the gradient.
inline double first_order_error(const Module& module, const Loss& loss) {
  module.to(DType::f64);
  module.zero_grad();
  {
    Tape tape(DType::f64);
    backward(loss(tape));
  }
  double worst = 0;
  for (const NamedParameter& p : module.parameters()) {
    for (std::size_t i = 0; i < static_cast<std::size_t>(p.parameter->size()); ++i) {
      const double exact = p.parameter->grad().span<double>()[i], e = 1e-6;
      const auto moved = [&](double by) {
        const double old = p.parameter->edit().as<double>()[i];
        p.parameter->edit().as<double>()[i] = old + by;
        const double y = value_of(loss);
        p.parameter->edit().as<double>()[i] = old;
        return y;
      };
      const double difference = (moved(e) - moved(-e)) / (2 * e);
      worst = std::max(worst, std::abs(difference - exact) / std::max(1.0, std::abs(exact)));
    }
  }
  return worst;
}

/// The same for the gradient of an asymmetric scalar of all first gradients.
inline double second_order_error(const Module& module, const Loss& loss) {
  return first_order_error(module, [&](Tape& tape) {
    std::vector<Operand> parameters;
    for (const NamedParameter& p : module.parameters()) parameters.emplace_back(*p.parameter);
    const std::vector<Tensor> gradients = grad(loss(tape), parameters);
    Tensor total = tape.constant(0.0);
    for (std::size_t i = 0; i < gradients.size(); ++i) total = total + asymmetric(gradients[i], static_cast<double>(i));
    return total;
  });
}

}  // namespace rw::test
