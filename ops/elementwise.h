#pragma once

#include <utility>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/tensor.h>
#include <rewind/core/math.h>

namespace rw {

/// Names an input, to pick its gradient rule: `vjp(Arg<1>, a, b, y, dy)` is the rule for b.
template <int I>
struct Arg {};

/// A constant in a gradient rule, of the rule's own type: `Number<T>(0.5) * dy` is a float times a float in the loop of
/// an f32 tape, and a recorded constant where T is Tensor.
template <class T>
using Number = std::conditional_t<std::is_same_v<T, Tensor>, double, T>;

/// Makes an elementwise op, with NumPy broadcasting, of a struct that says what happens to one element:
///
///     struct Swish {  // x sigmoid(x) (Ramachandran et al., 2017)
///       static constexpr std::string_view name = "swish";
///       auto f(auto x) const { return x * rw::sigmoid(x); }
///       auto vjp(auto x, auto y, auto dy) const { return dy * (y + rw::sigmoid(x) * (1 - y)); }
///     };
///     Tensor swish(Operand x) { return record(Elementwise<Swish>{}, x); }
///
/// `f` takes one to three elements. With one, the rule is `vjp(x, y, dy)`; with more, `vjp(Arg<i>, a, b, ..., y, dy)`
/// for each input that has a gradient. Both are templates (`auto`): with float and double they become vector loops (so:
/// no branches but `rw::where`, and functions of core/math.h), with Tensor the rule is recorded and can be
/// differentiated again. A rule of one element that is not linear in dy has a `transposed_jvp(x, y, dy)` beside it, the
/// transpose of the derivative along a direction. The struct's members are the op's attributes. In a rule, leave a side
/// out with `rw::where(x > 0, dy, Number<T>(0))` and not with a product by 0, which would make nan of an infinite dy.
template <class F>
struct Elementwise {
  static constexpr std::string_view name = F::name;
  static constexpr bool strided_inputs = true;
  [[no_unique_address]] F fn{};

  /// Number of inputs.
  static constexpr int arity() {
    if constexpr (requires(const F& f, float x) { f.f(x); }) return 1;
    if constexpr (requires(const F& f, float x) { f.f(x, x); }) return 2;
    if constexpr (requires(const F& f, float x) { f.f(x, x, x); }) return 3;
    return 0;
  }
  static_assert(arity() > 0, "an elementwise op needs `auto f(auto x) const`, of one to three arguments");

  /// Whether input I has a gradient.
  template <int I>
  static constexpr bool has_rule() {
    if constexpr (arity() == 1) return requires(const F& f, float x) {
        f.vjp(x, x, x);
      };
    if constexpr (arity() == 2) return requires(const F& f, float x) {
        f.vjp(Arg<I>{}, x, x, x, x);
      };
    if constexpr (arity() == 3) return requires(const F& f, float x) {
        f.vjp(Arg<I>{}, x, x, x, x, x);
      };
    return false;
  }

  Shape infer(std::span<const Shape> in) const {
    Shape out = in[0];
    for (const Shape& s : in.subspan(1)) out = broadcast(out, s);
    return out;
  }

  void vjp(Vjp& g) const requires(has_rule<0>() || has_rule<1>() || has_rule<2>()) {
    [&]<int... I>(std::integer_sequence<int, I...>) { (rule<I>(g), ...); }
    (std::make_integer_sequence<int, arity()>{});
  }

  void transposed_jvp(Vjp& g) const requires requires(const F& f, Tensor t) { f.transposed_jvp(t, t, t); }
  { g.add(0, fn.transposed_jvp(g.x(0), g.y(), g.dy())); }

  std::string describe() const {
    if constexpr (requires(const F& f) { f.describe(); }) return fn.describe();
    return {};
  }

  /// What the engine and the compiler know of it.
  static const ElementwiseFact& elementwise_fact() {
    static const ElementwiseFact fact = make_fact();
    return fact;
  }

 private:
  // What the loops run: the value, a rule, and a rule that adds. Each has the op's attributes as its only member.
  struct Value {
    F fn;
    template <class... T>
    auto operator()(T... x) const {
      return fn.f(x...);
    }
  };
  template <int I>
  struct Rule {
    F fn;
    template <class... T>
    auto operator()(T... x) const {
      if constexpr (arity() == 1)
        return fn.vjp(x...);
      else
        return fn.vjp(Arg<I>{}, x...);
    }
  };
  template <int I>
  struct AddRule {
    F fn;
    template <class T>
    T operator()(T x, T y, T dy, T dx) const requires(arity() == 1) {
      return dx + fn.vjp(x, y, dy);
    }
    template <class T>
    T operator()(T a, T b, T y, T dy, T dx) const requires(arity() == 2) {
      return dx + fn.vjp(Arg<I>{}, a, b, y, dy);
    }
    template <class T>
    T operator()(T a, T b, T c, T y, T dy, T dx) const requires(arity() == 3) {
      return dx + fn.vjp(Arg<I>{}, a, b, c, y, dy);
    }
  };

  template <int I>
  void rule(Vjp& g) const {
    if (!has_rule<I>() || !g.needs(I)) return;
    if constexpr (!has_rule<I>())
      return;
    else if constexpr (arity() == 1)
      g.add(0, fn.vjp(g.x(0), g.y(), g.dy()));
    else if constexpr (arity() == 2)
      g.add(I, fn.vjp(Arg<I>{}, g.x(0), g.x(1), g.y(), g.dy()));
    else
      g.add(I, fn.vjp(Arg<I>{}, g.x(0), g.x(1), g.x(2), g.y(), g.dy()));
  }

  template <int I>
  static void add_rule_loops(ElementwiseFact& fact) {
    if constexpr (has_rule<I>()) {
      fact.gradient[I] = vector_loop<Rule<I>, arity() + 2>();
      fact.accumulate[I] = vector_loop<AddRule<I>, arity() + 3>();
    }
  }
  static ElementwiseFact make_fact() {
    ElementwiseFact fact;
    fact.arity = arity();
    fact.value = vector_loop<Value, arity()>();
    if constexpr (requires { F::passes_gradient; }) fact.passes_gradient = F::passes_gradient;
    if constexpr (requires { F::arithmetic; }) fact.arithmetic = F::arithmetic;
    [&]<int... I>(std::integer_sequence<int, I...>) { (add_rule_loops<I>(fact), ...); }
    (std::make_integer_sequence<int, arity()>{});
    return fact;
  }
};

}  // namespace rw
