#pragma once

#include <array>
#include <cstddef>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <rewind/autograd/tape.h>
#include <rewind/core/error.h>
#include <rewind/core/fields.h>

namespace rw {

/// Parameters as an argument of a function that is differentiated: the function goes on using them by name, and sees
/// what the transform puts in their place. Its tangents and gradients are a vector of Tensors, one a parameter:
///
///     auto [loss, gradients] = value_and_grad([&] { return loss_of(net, x); }, ParameterList(tape, net.parameters()));
class ParameterList {
 public:
  /// From a range of Parameters, of pointers to them, or of what becomes a `Parameter&` (Module::parameters()).
  template <std::ranges::range R>
  ParameterList(Tape& tape, R&& parameters) : tape_(&tape) {
    for (auto&& p : parameters) {
      if constexpr (std::is_convertible_v<decltype(p), Parameter&>)
        all_.push_back(&static_cast<Parameter&>(p));
      else
        all_.push_back(&*p);
    }
  }
  /// The tape on which they are looked at.
  Tape& tape() const { return *tape_; }
  /// How many there are, and each, in the order in which they were given.
  std::size_t size() const { return all_.size(); }
  Parameter& operator[](std::size_t i) const { return *all_[i]; }

 private:
  Tape* tape_;
  std::vector<Parameter*> all_;
};

namespace detail {

template <class T>
struct TangentOf {
  using type = T;
};
template <>
struct TangentOf<ParameterList> {
  using type = std::vector<Tensor>;
};
template <class A, class B>
struct TangentOf<std::pair<A, B>> {
  using type = std::pair<typename TangentOf<A>::type, typename TangentOf<B>::type>;
};
template <class... T>
struct TangentOf<std::tuple<T...>> {
  using type = std::tuple<typename TangentOf<T>::type...>;
};

template <class T>
concept IsTuple = requires {
  std::tuple_size<T>::value;
};

/// Calls tensor(t) for every Tensor of `x`, in order, and list(p) for every ParameterList. Numbers are passed over.
template <class T, class OnTensor, class OnList>
void walk(T& x, OnTensor&& tensor, OnList&& list) {
  using Plain = std::remove_const_t<T>;
  if constexpr (std::is_same_v<Plain, Tensor>) {
    tensor(x);
  } else if constexpr (std::is_same_v<Plain, ParameterList>) {
    list(x);
  } else if constexpr (std::is_arithmetic_v<Plain> || std::is_enum_v<Plain>) {
  } else if constexpr (std::ranges::range<T>) {
    for (auto& part : x) walk(part, tensor, list);
  } else if constexpr (IsTuple<Plain>) {
    std::apply([&](auto&... part) { (walk(part, tensor, list), ...); }, x);
  } else {
    static_assert(std::is_aggregate_v<Plain>,
                  "transforms take and return Tensors, ParameterLists, and ranges, tuples and aggregates of them");
    std::apply([&](auto&... part) { (walk(part, tensor, list), ...); }, fields(x));
  }
}

/// The tensors of an argument or result, in order; those of a ParameterList are its leaves.
template <class T>
std::vector<Tensor> tensors_of(const T& x) {
  std::vector<Tensor> out;
  walk(
      x, [&](const Tensor& t) { out.push_back(t); },
      [&](const ParameterList& p) {
        for (std::size_t i = 0; i < p.size(); ++i) out.push_back(p.tape().leaf(p[i]));
      });
  return out;
}

/// Where the next tensor comes from when an aggregate is filled.
class TensorSource {
 public:
  explicit TensorSource(std::span<const Tensor> from) : from_(from) {}
  Tensor next() { return from_[at_++]; }
  void skip(std::size_t n) { at_ += n; }

 private:
  std::span<const Tensor> from_;
  std::size_t at_ = 0;
};

/// `x` with other tensors in it; ParameterLists stay as they are.
template <class T>
T with_tensors(T x, std::span<const Tensor> from) {
  TensorSource source(from);
  walk(
      x, [&](Tensor& t) { t = source.next(); }, [&](const ParameterList& p) { source.skip(p.size()); });
  return x;
}

template <class T>
typename TangentOf<T>::type tangents_of(const T& x, TensorSource& from) {
  using Out = typename TangentOf<T>::type;
  if constexpr (std::is_same_v<T, ParameterList>) {
    std::vector<Tensor> out;
    for (std::size_t i = 0; i < x.size(); ++i) out.push_back(from.next());
    return out;
  } else if constexpr (std::is_same_v<Out, T>) {
    T out = x;
    walk(
        out, [&](Tensor& t) { t = from.next(); }, [](const ParameterList&) {});
    return out;
  } else {
    return std::apply([&](const auto&... part) { return Out{tangents_of(part, from)...}; }, x);
  }
}
/// Tangents or gradients in the structure of `x`.
template <class T>
typename TangentOf<T>::type tangents_of(const T& x, std::span<const Tensor> from) {
  TensorSource source(from);
  return tangents_of(x, source);
}

/// The tape of the first tensor or ParameterList. Throws Error, naming the transform, when there is none.
template <class X>
Tape& tape_of(std::string_view name, const X& x) {
  Tape* tape = nullptr;
  walk(
      x,
      [&](const Tensor& t) {
        if (tape == nullptr) tape = &t.tape();
      },
      [&](const ParameterList& p) {
        if (tape == nullptr) tape = &p.tape();
      });
  if (tape == nullptr)
    throw Error("[" + std::string(name) +
                "] no argument is a Tensor or a ParameterList, so there is nothing to differentiate by");
  return *tape;
}

template <class T>
auto without_lists(const T& x) {
  if constexpr (std::is_same_v<T, ParameterList>)
    return std::tuple<>();
  else
    return std::tuple<const T&>(x);
}

template <class F, class X>
struct TakesParts : std::false_type {};
template <class F, class... T>
struct TakesParts<F, std::tuple<T...>> : std::is_invocable<F&, const T&...> {};

/// f(x); a tuple is several arguments. A function that takes no ParameterList is called without.
template <class F, class X>
decltype(auto) call(F& f, const X& x) {
  if constexpr (std::is_invocable_v<F&, const X&>)
    return f(x);
  else if constexpr (std::is_same_v<X, ParameterList>)
    return f();
  else if constexpr (TakesParts<F, X>::value)
    return std::apply(f, x);
  else
    return std::apply(
        [&](const auto&... part) -> decltype(auto) { return std::apply(f, std::tuple_cat(without_lists(part)...)); },
        x);
}

}  // namespace detail

/// The structure of a gradient or tangent of an argument: the same, with a vector of Tensors for a ParameterList.
template <class X>
using Tangent = typename detail::TangentOf<X>::type;

}  // namespace rw
