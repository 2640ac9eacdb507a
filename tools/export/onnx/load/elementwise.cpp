#include <algorithm>
#include <functional>

#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/compare.h>
#include <rewind/ops/lookup.h>
#include <rewind/ops/view.h>
#include <rewind/tools/export/onnx/load/whole.h>

namespace rw::detail::load {
namespace {

using Int = std::int64_t;

// Sums of whole numbers wrap around: they are lengths, and what is made of them is checked.
Int add_whole(Int a, Int b) { return static_cast<Int>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b)); }
Int sub_whole(Int a, Int b) { return static_cast<Int>(static_cast<std::uint64_t>(a) - static_cast<std::uint64_t>(b)); }
Int mul_whole(Int a, Int b) { return static_cast<Int>(static_cast<std::uint64_t>(a) * static_cast<std::uint64_t>(b)); }
Int div_whole(Int a, Int b) {
  if (b == 0) throw Error("a whole number is divided by 0");
  return b == -1 ? sub_whole(0, a) : a / b;
}

/// A comparison, as 1 or 0.
template <class F>
Int holds(Int a, Int b) {
  return F()(a, b) ? 1 : 0;
}
Int differ(Int a, Int b) { return (a != 0) != (b != 0) ? 1 : 0; }

/// An operator of two inputs, of whole numbers by `g`.
template <Tensor (*f)(Operand, Operand), auto g>
Values binary(const Call& c) {
  if (c.all_whole()) return {mapped(c, c.whole(0), c.whole(1), g)};
  return {f(c.real(0), c.real(1))};
}

/// One of truth values.
template <Tensor (*f)(Operand, Operand), auto g>
Values logical(const Call& c) {
  if (c.all_whole()) return {mapped(c, c.whole(0), c.whole(1), g)};
  return {f(c.mask(0), c.mask(1))};
}

template <Tensor (*f)(Operand)>
Values unary(const Call& c) {
  return {f(c.real(0))};
}

/// From left to right, of any number of inputs.
template <Tensor (*f)(Operand, Operand), auto g>
Values many(const Call& c) {
  if (c.all_whole()) {
    Whole out = c.whole(0);
    for (std::size_t i = 1; i < c.inputs(); ++i) out = mapped(c, out, c.whole(i), g);
    return {out};
  }
  Tensor out = c.real(0);
  for (std::size_t i = 1; i < c.inputs(); ++i) out = f(out, c.real(i));
  return {out};
}

Values mean(const Call& c) {
  Tensor sum = c.real(0);
  for (std::size_t i = 1; i < c.inputs(); ++i) sum = sum + c.real(i);
  return {sum / static_cast<double>(c.inputs())};
}

/// Indices [..., 1] beside 0, 1, ..., n - 1 are one-hot. Beside 0 alone they ask another question.
bool is_one_hot(const Call& c) {
  if (!c.is_whole(1) || c.is_whole(0)) return false;
  const Tensor x = c.tensor(0);
  const Whole& classes = c.whole(1);
  if (x.dtype() != DType::i32 || classes.shape.rank() != 1 || classes.values.size() < 2 || x.shape().rank() == 0 ||
      x.size(-1) != 1)
    return false;
  for (std::size_t i = 0; i < classes.values.size(); ++i)
    if (classes.values[i] != static_cast<Int>(i)) return false;
  return true;
}

Values equals(const Call& c) {
  if (is_one_hot(c)) {
    const Tensor x = c.tensor(0);
    return {one_hot(reshape(x, x.shape().without(x.shape().rank() - 1)), c.whole(1).shape[0])};
  }
  return binary<equal, holds<std::equal_to<>>>(c);
}

Values not_(const Call& c) {
  if (c.is_whole(0)) return {mapped(c.whole(0), [](Int x) -> Int { return x == 0; })};
  return {logical_not(c.real(0))};
}

Values where_(const Call& c) {
  if (!c.all_whole()) return {where(c.mask(0), c.real(1), c.real(2))};
  const auto chosen = [&](std::size_t i, bool if_true) {
    return mapped(c, c.whole(0), c.whole(i), [=](Int holds, Int x) { return (holds != 0) == if_true ? x : 0; });
  };
  return {mapped(c, chosen(1, true), chosen(2, false), add_whole)};
}

Values negative(const Call& c) {
  if (c.is_whole(0)) return {mapped(c.whole(0), [](Int x) { return sub_whole(0, x); })};
  return {neg(c.real(0))};
}

Values clip(const Call& c) {
  Tensor x = c.real(0);
  if (const auto* low = c.node().find<double>("min")) x = maximum(x, *low);
  if (const auto* high = c.node().find<double>("max")) x = minimum(x, *high);
  if (c.has(1)) x = maximum(x, c.real(1));
  if (c.has(2)) x = minimum(x, c.real(2));
  return {x};
}

Values atanh(const Call& c) {
  const Tensor x = c.real(0);
  return {(log1p(x) - log1p(-x)) * 0.5};
}

Operator one(std::string_view type, Values (*run)(const Call&)) { return {.type = type, .run = run}; }
Operator two(std::string_view type, Values (*run)(const Call&)) {
  return {.type = type, .least = 2, .most = 2, .run = run};
}
Operator any(std::string_view type, Values (*run)(const Call&)) {
  return {.type = type, .most = any_number, .run = run};
}

Int smaller(Int a, Int b) { return std::min(a, b); }
Int larger(Int a, Int b) { return std::max(a, b); }

}  // namespace

std::vector<Operator> elementwise_operators() {
  return {
      two("Add", binary<add, add_whole>),
      two("Sub", binary<sub, sub_whole>),
      two("Mul", binary<mul, mul_whole>),
      two("Div", binary<div, div_whole>),
      two("Pow", [](const Call& c) -> Values { return {pow(c.real(0), Operand(c.real(1)))}; }),
      any("Sum", many<add, add_whole>),
      any("Mean", mean),
      any("Max", many<maximum, larger>),
      any("Min", many<minimum, smaller>),
      one("Neg", negative),
      one("Abs", unary<abs>),
      one("Sign", unary<sign>),
      one("Floor", unary<floor>),
      one("Ceil", [](const Call& c) -> Values { return {-floor(-c.real(0))}; }),
      one("Sqrt", unary<sqrt>),
      one("Reciprocal", [](const Call& c) -> Values { return {1 / c.real(0)}; }),
      one("Exp", unary<exp>),
      one("Log", unary<log>),
      one("Sin", unary<sin>),
      one("Cos", unary<cos>),
      one("Erf", unary<erf>),
      one("Atanh", atanh),
      one("Tanh", unary<tanh>),
      one("Sigmoid", unary<sigmoid>),
      one("Relu", unary<relu>),
      one("LeakyRelu", [](const Call& c) -> Values { return {leaky_relu(c.real(0), c.node().get("alpha", 0.01))}; }),
      one("Softplus", unary<softplus>),
      {.type = "Clip", .most = 3, .run = clip},
      two("Equal", equals),
      two("Less", binary<less, holds<std::less<>>>),
      two("LessOrEqual", binary<less_equal, holds<std::less_equal<>>>),
      two("Greater", binary<greater, holds<std::greater<>>>),
      two("GreaterOrEqual", binary<greater_equal, holds<std::greater_equal<>>>),
      two("And", logical<logical_and, holds<std::logical_and<>>>),
      two("Or", logical<logical_or, holds<std::logical_or<>>>),
      two("Xor", logical<logical_xor, differ>),
      one("Not", not_),
      {.type = "Where", .least = 3, .most = 3, .run = where_},
  };
}

}  // namespace rw::detail::load
