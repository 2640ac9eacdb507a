#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/compile/compile.h>

namespace rw::test {

/// The largest difference of two arrays over the largest element of the second (at least 1e-3).
inline double difference(const Array& a, const Array& b) {
  if (!(a.shape() == b.shape())) return INFINITY;
  if (a == b) return 0;
  const auto x = a.to_vector<double>(), y = b.to_vector<double>();
  double worst = 0, size = 1e-3;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (!(std::abs(x[i] - y[i]) >= 0)) return INFINITY;
    worst = std::max(worst, std::abs(x[i] - y[i]));
    size = std::max(size, std::abs(y[i]));
  }
  return worst / size;
}

/// What `f(tape, inputs)` returns on a tape, and the gradients that it leaves in `parameters`.
template <class F>
std::vector<Array> on_a_tape(const F& f, const std::vector<Array>& inputs, const std::vector<Parameter*>& parameters,
                             DType dtype) {
  Tape tape(dtype);
  std::vector<Tensor> x;
  for (const Array& a : inputs) x.push_back(is_real(a.dtype()) ? tape.variable(a) : tape.constant(a));
  for (Parameter* p : parameters) p->zero_grad();
  std::vector<Array> out;
  for (const Tensor& t : f(tape, x)) out.push_back(t.array());
  for (Parameter* p : parameters) out.push_back(p->grad());
  return out;
}

/// The same by a compiled function.
template <class C>
std::vector<Array> compiled_call(C& step, const std::vector<Array>& inputs, const std::vector<Parameter*>& parameters) {
  for (Parameter* p : parameters) p->zero_grad();
  step.set_step(0);  // calls count steps, and the tape is at its first
  std::vector<Array> out;
  for (const Tensor& t : step(inputs)) out.push_back(t.array());
  for (Parameter* p : parameters) out.push_back(p->grad());
  return out;
}

/// The worst difference of each.
inline double worst_difference(const std::vector<Array>& found, const std::vector<Array>& expected) {
  REQUIRE(found.size() == expected.size());
  double worst = 0;
  for (std::size_t i = 0; i < found.size(); ++i) worst = std::max(worst, difference(found[i], expected[i]));
  return worst;
}

/// The worst difference of what `f(tape, inputs)` returns, and of the gradients that it leaves in `parameters`, between
/// an eager and a compiled run; replayed twice.
template <class F>
double disagreement(const F& f, const std::vector<Array>& inputs, const std::vector<Parameter*>& parameters,
                    CompileOptions options = {}) {
  options.verify = true;
  options.check = SelfCheck::off;  // it is made here
  if (!options.dtype.has_value() && !inputs.empty()) options.dtype = inputs[0].dtype();
  const DType real = options.dtype.value_or(parameters.empty() ? DType::f32 : parameters[0]->value().dtype());
  const std::vector<Array> expected = on_a_tape(f, inputs, parameters, real);
  auto step = compile(f, options, inputs);
  double worst = 0;
  for (int replay = 0; replay < 2; ++replay)
    worst = std::max(worst, worst_difference(compiled_call(step, inputs, parameters), expected));
  return worst;
}

/// Products in the optimised graph, and kernels.
template <class C>
int products_of(const C& compiled) {
  const Tape graph = compiled.graph();
  int count = 0;
  for (NodeId i = 0; i < graph.size(); ++i) count += graph.node(i).info->product != nullptr;
  return count;
}

inline const std::vector<Pass> all_passes = [] {
  std::vector<Pass> all;
  for (const PassSwitch& s : pass_switches) all.push_back(s.pass);
  return all;
}();

}  // namespace rw::test
