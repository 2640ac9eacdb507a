#pragma once

// A function compiled with any set of passes, beside the tape.

#include <vector>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>

#include "../../../effort.h"
#include "../agree.h"
#include "../hand_lstm.h"

namespace rw::test {

/// Values and gradients of a loss, with any set of passes.
template <class F>
void check_all_passes(const std::vector<Shape>& shapes, const F& loss_of) {
  for (DType dtype : {DType::f32, DType::f64}) {
    if (sanitized && dtype == DType::f64) continue;  // the same kernels, of wider numbers
    CAPTURE(dtype == DType::f32);
    std::vector<Array> x;
    for (const Shape& s : shapes) {
      CAPTURE(s.str());
      x.push_back(random_array(s, static_cast<int>(x.size()) + 1, s.rank() == 2 && s[0] == s[1] ? 0.2 : 1, dtype));
    }
    const auto f = [&](Tape&, const std::vector<Tensor>& in) {
      std::vector<Tensor> out{loss_of(in)};
      const std::vector<Operand> of(in.begin(), in.end());
      for (const Tensor& g : grad(out[0], of)) out.push_back(g);
      return out;
    };
    const double tolerance = dtype == DType::f32 ? 1e-5 : 1e-13;
    CHECK(disagreement(f, x, {}, {.passes = Passes::exact()}) == 0);
    CHECK(disagreement(f, x, {}) < tolerance);
    for (Pass p : all_passes) {
      CHECK(disagreement(f, x, {}, {.passes = Passes::all() - p}) < tolerance);
      CHECK(disagreement(f, x, {}, {.passes = p}) < tolerance);
    }
  }
}

}  // namespace rw::test
