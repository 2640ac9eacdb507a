#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/compile/compile.h>
#include <rewind/autograd/program/program.h>
#include <rewind/core/view.h>
#include <rewind/models/module.h>

#include "../golden_text.h"

namespace rw::test {

/// The largest difference of numbers that must be as many.
inline double distance(const Array& a, std::span<const double> b) {
  const std::vector<double> found = a.to_vector<double>();
  REQUIRE(found.size() == b.size());
  double most = 0;
  for (std::size_t i = 0; i < found.size(); ++i) most = std::max(most, std::abs(found[i] - b[i]));
  return most;
}
inline double distance(const Array& a, const Array& b) { return distance(a, b.to_vector<double>()); }

/// A line of tests/golden/classic.txt, which tests/golden/classic.py wrote.
inline const std::vector<double>& golden(const std::string& name) {
  static const auto all = golden_text("classic.txt");
  return all.at(name);
}

/// The plan of a loss with its gradients beside the tape. Parameters become f64.
inline void check_plan(const std::function<Tensor(Tape&)>& loss, const std::vector<NamedParameter>& parameters) {
  const auto gradients = [&] {
    std::vector<Array> all;
    for (const NamedParameter& p : parameters) {
      all.push_back(p.parameter->grad());
      p.parameter->zero_grad();
    }
    return all;
  };
  for (const NamedParameter& p : parameters) p.parameter->convert(DType::f64);
  gradients();
  Tape tape(DType::f64);
  const Tensor expected = loss(tape);
  backward(expected);
  const std::vector<Array> eager = gradients();
  auto plan = compile(
      [&](Tape& t) {
        const Tensor y = loss(t);
        backward(y);
        return y;
      },
      {.dtype = DType::f64});
  CHECK(std::abs(plan().item() - expected.item()) < 1e-11);
  const std::vector<Array> planned = gradients();
  for (std::size_t i = 0; i < eager.size(); ++i) CHECK(distance(planned[i], eager[i]) < 1e-10);
}

/// Whether f(x) folds in time, x being [steps, ...] with `rest` behind: with its gradient, and loops, it is as long for
/// 30 steps as for 60.
inline bool folds(const std::function<Tensor(Tape&, Tensor)>& f, const Shape& rest) {
  const auto length = [&](Index steps) {
    Tape tape(TapeOptions{.dtype = DType::f64, .trace = true});
    const Tensor x = tape.input(rest.inserted(0, steps), DType::f64), y = f(tape, x);
    backward(y);
    return ir::fold(ir::from_tape(tape, {{y}}, {{x}})).items.size();
  };
  const std::size_t few = length(30), many = length(60);
  CHECK(few == many);
  return few == many;
}

}  // namespace rw::test
