#pragma once

// Every function of ops/, and what else records ops, as functions of one row of numbers: for what is exported.

#include <functional>
#include <string>
#include <vector>

#include <rewind/autograd/transform/custom_vjp.h>
#include <rewind/autograd/transform/implicit.h>
#include <rewind/autograd/transform/sparse.h>
#include <rewind/ops/ops.h>
#include <rewind/tools/export/recorded_sequence.h>

#include "../gradcheck/op_cases.h"

namespace rw::test {

using Tensors = std::vector<Tensor>;

inline const std::vector<Shape> shapes = {{2, 3}, {3, 3}, {3, 2}, {2, 3}, {3}, {2, 1}, {}, {2, 2, 3}, {2, 2, 3}, {3}};
inline constexpr Index width = 60;

/// Numbers x [width] as tensors of these shapes.
inline Tensors parts_of(Tensor x) {
  Tensors all;
  Index at = 0;
  for (const Shape& s : shapes) {
    all.push_back(reshape(slice(x, 0, at, s.size()), s));
    at += s.size();
  }
  return all;
}

/// A function of x [width], and what it is about.
struct Case {
  std::string name;
  std::function<Tensor(Tensor)> f;
  bool draws = false;
};

/// Its value, and the gradient of a scalar of it in which every element counts differently.
inline Tensor with_gradient(const Case& c, Tensor x) {
  const Tensor y = reshape(c.f(x), {-1});
  Array factors(y.shape(), DType::f64);
  for (Index i = 0; i < y.size(); ++i) factors.set({i}, 0.3 + 0.1 * static_cast<double>(i % 7));
  if (!y.needs_grad()) return y;
  return concat({y, grad(sum((y + square(y)) * x.tape().constant(factors)), x)}, 0);
}

/// A case of op_cases on inputs that it can take: which ones is chosen at random.
inline Case chosen(const OpCase& c) {
  for (std::uint64_t seed = 11;; ++seed) {
    const auto f = [&c, seed](Tensor x) {
      Pool pool(x.tape(), parts_of(x));
      Rng rng(seed);
      return c.make(pool, rng);
    };
    try {
      Tape tape(DType::f64);
      const Tensor x = tape.variable(Array(Shape{width}, DType::f64));
      f(x);
      return {c.name, f, c.name == "dropout" || c.name == "bernoulli_mask"};
    } catch (const Error&) {  // shapes that do not fit
    }
  }
}

inline std::vector<Case> cases() {
  std::vector<Case> all;
  for (const OpCase& c : op_cases()) all.push_back(chosen(c));
  const auto add = [&](const std::string& name, std::function<Tensor(const Tensors&)> f) {
    all.push_back({name, [f = std::move(f)](Tensor x) { return f(parts_of(x)); }});
  };
  add("sparse Jacobian",
      [](const Tensors& p) { return sparse_jacobian([&](Tensor a) { return a * sin(a) + flip(a, 0); }, p[4]).values; });
  add("while_loop", [](const Tensors& p) {
    return while_loop([](Tensor a) { return sum(square(a)) < 20; }, [](Tensor a) { return a * 1.5; }, p[0],
                      {.at_most = 5});
  });
  add("scan", [](const Tensors& p) { return scan([](Tensor s, Tensor a) { return tanh(s + a); }, p[4], p[1]); });
  add("argmin", [](const Tensors& p) {
    const Tensor a = detail::near_identity(p[1]), b = p[4];  // which the gradient's rule keeps
    const auto error = [a, b](Tensor y) { return sum(square(reshape(matmul(a, reshape(y, {3, 1})), {3}) - b)); };
    return argmin(error, 0 * b, {.tolerance = 1e-5, .traced_steps = 2});
  });
  add("custom_vjp", [](const Tensors& p) {
    return custom_vjp([](Tensor a) { return floor(3 * a); }, [](Tensor, Tensor, Tensor dy) { return 3 * dy; })(p[0]);
  });
  return all;
}

/// A function of the mean over all steps and sequences.
inline RecordedSequence sequence_of(const std::function<Tensor(Tensor)>& f, DType real) {
  return record_sequence(
      {{width}}, real,
      [](Tape& t, Index batch) {
        return t.constant(0, {batch, 1});
      },
      [&](Tensor x, Tensor&) {
        return f(mean(x, {0, 1}));
      });
}

}  // namespace rw::test
