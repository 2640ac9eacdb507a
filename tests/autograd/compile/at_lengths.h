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
    const std::vector<Array> expected = on_a_tape(f, x, parameters, *options.dtype);
    worst = std::max(worst, worst_difference(compiled_call(step, x, parameters), expected));
  }
  return worst;
}

}  // namespace rw::test
