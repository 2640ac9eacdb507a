#pragma once

// One compiled function that is called at several lengths, one after another.

#include <vector>

#include "agree.h"

namespace rw::test {

/// The worst difference between an eager run of `f(tape, inputs(length))`, with the gradients that it leaves in
/// `parameters`, and one compiled function, over all of these lengths.
template <class F, class Inputs>
double disagreement_at(const std::vector<Index>& lengths, const F& f, const Inputs& inputs,
                       const std::vector<Parameter*>& parameters, CompileOptions options = {}) {
  options.check = SelfCheck::off;  // it is made here
  options.dtype = inputs(lengths.front())[0].dtype();
  auto step = compile(f, options, inputs(lengths.front()));
  double worst = 0;
  for (const Index length : lengths) {
    const std::vector<Array> x = inputs(length);
    const auto results = [&](const std::vector<Tensor>& values) {
      std::vector<Array> out;
      for (const Tensor& t : values) out.push_back(t.array());
      for (Parameter* p : parameters) out.push_back(p->grad()), p->zero_grad();
      return out;
    };
    results({});
    Tape tape(*options.dtype);
    std::vector<Tensor> variables;
    for (const Array& a : x) variables.push_back(tape.variable(a));
    const std::vector<Array> expected = results(f(tape, variables));
    step.set_step(0);  // calls count steps, and the tape is at its first
    const std::vector<Array> found = results(step(x));
    REQUIRE(found.size() == expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) worst = std::max(worst, difference(found[i], expected[i]));
  }
  return worst;
}

}  // namespace rw::test
