// Elementwise ops as somebody outside of the library writes them.
#include <cmath>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/core/error.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/compare.h>
#include <rewind/ops/elementwise.h>
#include <rewind/tools/gradcheck/check_op.h>

namespace user {

using rw::Arg;
using rw::Number;
using rw::Operand;
using rw::Tensor;

/// x sigmoid(x).
struct Swish {
  static constexpr std::string_view name = "swish";
  auto f(auto x) const { return x * rw::sigmoid(x); }
  auto vjp(auto x, auto y, auto dy) const { return rw::times0(dy, y + rw::sigmoid(x) * (1 - y)); }
};
Tensor swish(Operand x) { return rw::record(rw::Elementwise<Swish>{}, x); }

/// x above a threshold, a constant below: attributes and a kink.
struct Threshold {
  static constexpr std::string_view name = "threshold";
  double at = 0, below = 0;
  std::string describe() const { return "at " + std::to_string(at); }
  template <class T>
  T f(T x) const {
    return rw::where(x > static_cast<T>(at), x, static_cast<T>(below));
  }
  template <class T>
  T vjp(T x, T, T dy) const {
    return rw::where(x > Number<T>(at), dy, Number<T>(0));
  }
};
Tensor threshold(Operand x, double at, double below) { return rw::record(rw::Elementwise<Threshold>{{at, below}}, x); }

/// a + t (b - a), of three inputs.
struct Lerp {
  static constexpr std::string_view name = "lerp";
  auto f(auto a, auto b, auto t) const { return a + t * (b - a); }
  auto vjp(Arg<0>, auto, auto, auto t, auto, auto dy) const { return rw::times0(dy, 1 - t); }
  auto vjp(Arg<1>, auto, auto, auto t, auto, auto dy) const { return rw::times0(dy, t); }
  auto vjp(Arg<2>, auto a, auto b, auto, auto, auto dy) const { return rw::times0(dy, b - a); }
};
Tensor lerp(Operand a, Operand b, Operand t) { return rw::record(rw::Elementwise<Lerp>{}, a, b, t); }

/// a b, where b is a mask without a rule.
struct Masked {
  static constexpr std::string_view name = "masked";
  auto f(auto a, auto b) const { return a * b; }
  auto vjp(Arg<0>, auto, auto b, auto, auto dy) const { return dy * b; }
};

}  // namespace user

using namespace rw;

// One line an op.
// clang-format off
TEST_CASE("a user's ops pass check_op") {
  CHECK(check_op("swish", [](Tensor x) { return user::swish(x); }, [](double x) { return x / (1 + std::exp(-x)); }));
  CHECK(check_op("lerp", user::lerp, [](double a, double b, double t) { return a + t * (b - a); }));
  CHECK(check_op("threshold", [](Tensor x) { return user::threshold(x, 0.3, -1); },
                 [](double x) { return x > 0.3 ? x : -1; }, {.domains = {{.kinks = {0.3}}}}));
}
// clang-format on

TEST_CASE("an input without a rule gets no gradient") {
  Tape tape;
  const Tensor a = tape.variable(full(Shape{2}, 3)), b = tape.variable(full(Shape{2}, 2));
  const Tensor y = record(Elementwise<user::Masked>{}, {a, b}), ones = tape.constant(1, Shape{2});
  CHECK(grad(y, a, {.cotangent = ones}).array() == full(Shape{2}, 2));
  CHECK(grad(y, b, {.cotangent = ones}).array() == full(Shape{2}, 0));
  CHECK_THROWS_AS(grad(y, b, {.cotangent = ones, .strict = true}), Error);
}

TEST_CASE("facts, attributes and what they say") {
  const OpInfo& info = op_info<Elementwise<user::Threshold>>();
  REQUIRE(info.elementwise != nullptr);
  CHECK(info.elementwise->arity == 1);
  const Elementwise<user::Threshold> one{{1, 2}}, other{{1, 3}};
  CHECK(info.equal(&one, &one));
  CHECK_FALSE(info.equal(&one, &other));
  CHECK(info.hash(&one) != info.hash(&other));
  CHECK(info.describe(&one) == "at 1.000000");
  CHECK((op_info<Elementwise<user::Masked>>().elementwise->gradient[1].f32 == nullptr));
}

TEST_CASE("shapes that do not broadcast") {
  Tape tape;
  const Scope scope(tape, "mine");
  CHECK_THROWS_WITH_AS(user::lerp(tape.constant(0, Shape{2}), tape.constant(0, Shape{3}), 1),
                       "[lerp] shapes do not broadcast: (2) and (3) (axes are aligned at the last; each pair must be "
                       "equal or 1), in mine",
                       Error);
}
