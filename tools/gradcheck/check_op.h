#pragma once

#include <functional>
#include <iosfwd>
#include <span>
#include <string>
#include <vector>

#include <rewind/autograd/tape.h>
#include <rewind/core/array.h>

namespace rw {

/// Where `check_op` takes an input's numbers from: reals in [lo, hi], no two of them equal, none within 0.01 of a kink
/// (where the op has no derivative); or, with `classes` above 0, indices (i32) in [0, classes).
struct OpDomain {
  double lo = -2, hi = 2;
  std::vector<double> kinks = {};
  Index classes = 0;
};

struct OpCheck {
  /// Shapes of the inputs, case by case: `{{{2, 3}, {3, 4}}, {{0, 3}, {3, 1}}}`. Without any, an op with a reference on
  /// doubles gets shapes that broadcast, with axes of length 1 and 0.
  std::vector<std::vector<Shape>> shapes = {};
  /// Of each input; the last one counts for the rest.
  std::vector<OpDomain> domains = {{}};
  /// Shapes that must be refused, besides the op's usual ones.
  std::vector<std::vector<Shape>> bad = {};
  /// False for an op without a gradient, such as a comparison.
  bool gradient = true;
  /// Most error, as a part of the largest number: of values beside the reference (f64), of derivatives beside finite
  /// differences (f64), and of f32 beside f64.
  double value_tolerance = 1e-12, difference_tolerance = 1e-7, f32_tolerance = 2e-5;
  std::uint64_t seed = 1;
};

/// What `check_op` found. True when all is well; printed, it says what is not.
struct OpReport {
  std::string op;
  std::size_t cases = 0;
  std::vector<std::string> failures = {};

  /// Whether all is well, in at least one case.
  bool ok() const { return failures.empty() && cases > 0; }
  /// The same.
  explicit operator bool() const { return ok(); }
  /// What is printed.
  std::string message() const;
};
std::ostream& operator<<(std::ostream& out, const OpReport& report);

using OpFunction = std::function<Tensor(std::span<const Tensor>)>;
using OpReference = std::function<Array(std::span<const Array>)>;

/// What check_op does, for an op of `inputs` tensors. Reals reach the reference as f64, and it gives f64. `elementwise`
/// adds the cases of broadcasting.
OpReport check_op_function(const std::string& op, std::size_t inputs, const OpFunction& function,
                           const OpReference& reference, bool elementwise, const OpCheck& check);

/// `reference` on doubles as a reference on arrays, with broadcasting.
Array broadcast_reference(std::span<const Array> x, const std::function<double(std::span<const double>)>& reference);

namespace detail {

template <class T, std::size_t>
using Repeat = T;

template <class F, class T, std::size_t... I>
constexpr bool takes(std::index_sequence<I...>) {
  return std::is_invocable_v<F, Repeat<T, I>...>;
}

template <class F, class T>
constexpr std::size_t count_inputs() {
  if constexpr (takes<F, T>(std::make_index_sequence<1>{})) return 1;
  if constexpr (takes<F, T>(std::make_index_sequence<2>{})) return 2;
  if constexpr (takes<F, T>(std::make_index_sequence<3>{})) return 3;
  if constexpr (takes<F, T>(std::make_index_sequence<4>{})) return 4;
  return 0;
}

template <class F, class T, std::size_t... I>
decltype(auto) apply_span(F& f, std::span<const T> x, std::index_sequence<I...>) {
  return f(x[I]...);
}

}  // namespace detail

/// Checks an op on small random inputs and reports what is wrong; throws nothing for a wrong op. For every case of
/// shapes: the value beside the reference, first and second derivatives beside finite differences (of a fixed random
/// projection: a plain sum would hide wrong rules), the gradient rule linear in dy, jvp beside differences, f32 beside
/// f64, the plain backward beside the recorded gradient bit by bit, eager beside compiled (bit by bit where the passes
/// keep bits), inputs whose rows are apart, and the shape that a trace infers. And shapes that must be refused: with
/// one line that names op, shapes and scope, and with the tape as it was.
///
///     CHECK(check_op("tanh", [](Tensor x) { return tanh(x); }, [](double x) { return std::tanh(x); }));
///     CHECK(check_op("log", [](Tensor x) { return log(x); }, [](double x) { return std::log(x); },
///                    {.domains = {{.lo = 0.1, .hi = 3}}}));
///
/// `op` takes one to four Tensors. `reference` takes as many doubles, and then gets broadcasting cases by itself, or as
/// many Arrays (f64, or i32 for indices), gives an f64 Array, and needs `shapes`.
template <class Op, class Reference>
OpReport check_op(const std::string& name, Op op, Reference reference, const OpCheck& check = {}) {
  constexpr std::size_t n = detail::count_inputs<Op&, Tensor>();
  static_assert(n > 0, "check_op needs an op that takes one to four Tensors");
  constexpr std::make_index_sequence<n> all;
  constexpr bool elementwise = detail::takes<Reference&, double>(all);
  static_assert(elementwise || detail::takes<Reference&, const Array&>(all),
                "the reference takes as many doubles, or Arrays, as the op takes Tensors");
  const OpFunction function = [&](std::span<const Tensor> x) -> Tensor { return detail::apply_span(op, x, all); };
  const OpReference on_arrays = [&](std::span<const Array> x) -> Array {
    if constexpr (elementwise)
      return broadcast_reference(x, [&](std::span<const double> e) { return detail::apply_span(reference, e, all); });
    else
      return detail::apply_span(reference, x, all);
  };
  return check_op_function(name, n, function, on_arrays, elementwise, check);
}

}  // namespace rw
