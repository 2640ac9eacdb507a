// That check_op finds what is wrong with an op: each of these ops has one mistake.
#include <cmath>
#include <sstream>

#include <doctest/doctest.h>

#include <rewind/core/error.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/compare.h>
#include <rewind/ops/elementwise.h>
#include <rewind/ops/reduce.h>
#include <rewind/tools/gradcheck/check_op.h>

using namespace rw;

namespace {

/// x^3, with as much of its rule replaced as a test wants.
template <class Mistake>
struct Cube {
  static constexpr std::string_view name = "cube";
  template <class T>
  T f(T x) const {
    return x * x * x;
  }
  template <class T>
  T vjp(T x, T y, T dy) const {
    return Mistake::rule(x, y, dy);
  }
};

struct NoMistake {
  template <class T>
  static T rule(T x, T, T dy) {
    return times0(dy, 3 * x * x);
  }
};
struct Unguarded {
  template <class T>
  static T rule(T x, T, T dy) {
    return dy * (3 * x * x);
  }
};
// Of numbers near 0 the gradient of a dy of 0 is 0, but not as a function of x.
struct GuardedOnce {
  template <Real T>
  static T rule(T x, T, T dy) {
    return times0(dy, 3 * x * x);
  }
  static Tensor rule(Tensor x, Tensor, Tensor dy) {
    return times0(dy, 3 * x * x) + where(abs(x) < 10, x - detach(x), 0);
  }
};
struct WrongFactor {
  template <class T>
  static T rule(T x, T, T dy) {
    return times0(dy, 2 * x * x);
  }
};
struct IgnoresDy {
  template <class T>
  static T rule(T x, T, T) {
    return 3 * x * x;
  }
};
struct OtherRuleForTensors {
  template <Real T>
  static T rule(T x, T, T dy) {
    return times0(dy, 3 * x * x);
  }
  static Tensor rule(Tensor x, Tensor, Tensor dy) { return times0(dy, 3.000001 * x * x); }
};
// Right in the first derivative, but the rule is a constant to the second.
struct Detached {
  template <Real T>
  static T rule(T x, T, T dy) {
    return times0(dy, 3 * x * x);
  }
  static Tensor rule(Tensor x, Tensor, Tensor dy) { return times0(dy, 3 * detach(x) * detach(x)); }
};

// Right for the cotangents that the other checks try, which are at most 1.5.
struct Limited {
  template <Real T>
  static T rule(T x, T, T dy) {
    return times0(minimum(maximum(dy, T(-2)), T(2)), 3 * x * x);
  }
  static Tensor rule(Tensor x, Tensor, Tensor dy) { return times0(clamp(dy, -2, 2), 3 * x * x); }
};
/// The same, which says what its derivative is.
struct LimitedCube : Cube<Limited> {
  template <class T>
  T transposed_jvp(T x, T, T dy) const {
    return times0(dy, 3 * x * x);
  }
};
/// And which says another one.
struct WronglyLimitedCube : Cube<Limited> {
  template <class T>
  T transposed_jvp(T x, T, T dy) const {
    return times0(dy, 2 * x * x);
  }
};

template <class Mistake>
OpReport check_cube(const OpCheck& check = {}) {
  return check_op(
      "cube", [](Tensor x) { return record(Elementwise<Cube<Mistake>>{}, {x}); }, [](double x) { return x * x * x; },
      check);
}

bool says(const OpReport& report, const std::string& what) { return report.message().find(what) != std::string::npos; }

// A sum over the last axis, with something that is wrong with it.
enum class Flaw { none, no_gradient, sum_of_gradient, shape_message, not_contiguous, f32 };
template <Flaw flaw>
struct FlawedSum {
  static constexpr std::string_view name = "flawed_sum";
  static constexpr bool strided_inputs = flaw == Flaw::not_contiguous;
  Shape infer(std::span<const Shape> in) const {
    if (in[0].rank() != 2) throw Error(flaw == Flaw::shape_message ? "bad" : "needs rank 2, not " + in[0].str());
    return in[0].with(1, 1);
  }
  void eval(std::span<const ConstView> x, View y) const {
    visit_real(y.dtype, [&]<class T>() {
      for (Index r = 0; r < y.rows(); ++r) {
        T total = flaw == Flaw::f32 && sizeof(T) == 4 ? T(0.001) : T(0);
        for (Index c = 0; c < x[0].cols(); ++c) total += x[0].as<T>()[r * x[0].cols() + c];
        y.as<T>()[r] = total;
      }
    });
  }
  void vjp(Vjp& g) const requires(flaw != Flaw::no_gradient) {
    const Tensor dy = flaw == Flaw::sum_of_gradient ? sum(g.dy(), 0, true) : g.dy();
    g.add(0, dy + times0(0, g.x(0)));
  }
};

template <Flaw flaw>
OpReport check_sum(bool gradient = true) {
  return check_op(
      "flawed_sum", [](Tensor x) { return record(FlawedSum<flaw>{}, {x}); },
      [](const Array& x) {
        Array y(x.shape().with(1, 1), DType::f64);
        for (Index i = 0; i < x.size(); ++i)
          y.span<double>()[static_cast<std::size_t>(i / x.shape()[1])] += x.span<double>()[static_cast<std::size_t>(i)];
        return y;
      },
      {.shapes = {{{2, 3}}, {{1, 1}}}, .bad = {{{3}}}, .gradient = gradient});
}

}  // namespace

TEST_CASE("an op that is right") {
  const OpReport report = check_cube<NoMistake>();
  CHECK(report);
  CHECK(report.ok());
  CHECK(report.message() == "cube: right in 7 cases");
  CHECK(check_sum<Flaw::none>());
}

TEST_CASE("a rule that is not linear in dy, and one that says so") {
  CHECK(says(check_cube<Limited>(), "(2, 3): the rule is not linear in dy (declare `transposed_jvp`)"));
  const auto check = [](auto op) {
    return check_op(
        "cube", [&](Tensor x) { return record(Elementwise<decltype(op)>{}, {x}); }, [](double x) { return x * x * x; });
  };
  CHECK(check(LimitedCube{}));
  CHECK(says(check(WronglyLimitedCube{}), "derivative along a direction beside finite differences: element 0"));
}

TEST_CASE("a wrong value") {
  const OpReport report = check_op(
      "neg", [](Tensor x) { return -x; }, [](double x) { return x == 0 ? 0 : -x + 1e-9; });
  CHECK_FALSE(report);
  CHECK(says(report, "(2, 3): value: element 0 is "));
  std::ostringstream printed;
  printed << report;
  CHECK(printed.str() == report.message());
}

TEST_CASE("wrong rules") {
  CHECK(says(check_cube<WrongFactor>(), "gradient beside finite differences, number 0"));
  CHECK(says(check_cube<IgnoresDy>(), "gradient beside finite differences, number 0"));
  CHECK(says(check_cube<OtherRuleForTensors>(), "the plain backward gives"));
  const OpReport detached = check_cube<Detached>();
  CHECK(says(detached, "second derivative beside finite differences, number 0"));
  CHECK_FALSE(says(detached, "): gradient beside finite differences"));
  // A plain sum as the projection would not see that dy has been summed.
  CHECK(says(check_sum<Flaw::sum_of_gradient>(), "gradient beside finite differences"));
}

TEST_CASE("gradients that are missing or unexpected") {
  CHECK(says(check_sum<Flaw::no_gradient>(), "no gradient flows through it"));
  CHECK(check_sum<Flaw::no_gradient>(false));
  CHECK(says(check_sum<Flaw::none>(false), "it has a gradient, which was not expected"));
}

TEST_CASE("special values") {
  const OpReport unguarded = check_cube<Unguarded>();
  CHECK(says(unguarded, "special values: of a dy of 0, the gradient 0 at "));
  CHECK(says(unguarded, "is nan, not 0"));
  CHECK(check_cube<Unguarded>({.no_zero_gradients = "the rule multiplies as IEEE does"}));
  const OpReport second = check_cube<GuardedOnce>({.domains = {{.lo = 11, .hi = 13}}});
  CHECK(says(second, "of a dy of 0, the slope of the gradient 0 at "));
  const auto twice = [](Tensor x) { return x + x; };
  const auto never_infinite = [](double x) { return std::isinf(x) ? 0 : 2 * x; };
  CHECK(says(check_op("twice", twice, never_infinite), "special values: the value at inf is inf, expected 0"));
  CHECK(check_op("twice", twice, never_infinite, {.no_special_values = "the reference is of finite numbers"}));
}

TEST_CASE("layouts and precisions") {
  CHECK(says(check_sum<Flaw::not_contiguous>(), "value of inputs whose rows are apart"));
  CHECK(says(check_sum<Flaw::f32>(), "f32 value"));
}

TEST_CASE("eager beside compiled") {
  const auto differs = [](Tensor x) { return x * (x.tape().tracing() ? 1.001 : 1.0); };
  const OpReport report = check_op("differs", differs, [](double x) { return x; });
  CHECK(says(report, "compiled f64 (exact passes), number 0: element 0"));
  CHECK(says(report, "compiled f32 (all passes), number 1: element 0"));
}

TEST_CASE("refusals") {
  CHECK(says(check_sum<Flaw::shape_message>(), "refusing (3): the message names no shape"));
  const auto sub = [](Tensor a, Tensor b) { return a - b; };
  const auto reference = [](double a, double b) { return a - b; };
  CHECK(says(check_op("sub", sub, reference, {.bad = {{{2, 3}, {3}}}}), "refusing (2, 3) (3): it was accepted"));
  const auto leaves_nodes = [](Tensor a, Tensor b) { return (a * 2) - b; };
  const OpReport report = check_op("leaves", leaves_nodes, [](double a, double b) { return a * 2 - b; });
  CHECK(says(report, "nodes more than before"));
  const auto unnamed = [](Tensor a) -> Tensor {
    if (a.shape().rank() == 1) throw Error("no\ngood");
    return a * 1;
  };
  const OpReport bad_message =
      check_op("unnamed", unnamed, [](double a) { return a; }, {.shapes = {{{2, 3}}}, .bad = {{{3}}}});
  CHECK(says(bad_message, "does not begin with the [op]"));
  CHECK(says(bad_message, "more than one line"));
  CHECK(says(bad_message, "does not name the scope"));
}

TEST_CASE("an op that throws, or that looks at values while it is traced") {
  const auto throws = [](Tensor x) -> Tensor {
    if (x.size() == 1) throw Error("[throws] of (1)");
    return x * 1;
  };
  CHECK(says(check_op("throws", throws, [](double x) { return x; }), "(1): it threw: [throws] of (1)"));
  const auto looks = [](Tensor x) { return x * (x.array().size() > 0 ? 1 : 2); };
  CHECK(says(check_op("looks", looks, [](double x) { return x; }), "its value was asked for while compile traces"));
}

TEST_CASE("what it cannot check it does not pass") {
  CHECK_FALSE(check_op(
      "none", [](Tensor x) { return x * 1; }, [](const Array& x) { return x; }));
  const OpReport report = check_op(
      "count", [](Tensor a, Tensor b) { return a + b; }, [](double a, double b) { return a + b; },
      {.shapes = {{{2, 3}}}});
  CHECK(says(report, "1 shapes for an op of 2 inputs"));
}
