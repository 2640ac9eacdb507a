#pragma once

#include <array>
#include <cstring>
#include <ranges>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <rewind/autograd/tensor.h>
#include <rewind/core/fields.h>

/// How `compile` looks into arguments and results: tensors, arrays and views are leaves; ranges, pairs, tuples and
/// aggregates are visited; numbers, enums and bools are baked into the trace.
namespace rw::detail {

template <class T>
concept TensorLike =
    std::is_same_v<T, Tensor> || std::is_same_v<T, Array> || std::is_same_v<T, ConstView> || std::is_same_v<T, View>;
template <class T>
concept Baked = std::is_arithmetic_v<T> || std::is_enum_v<T>;
template <class T>
concept TupleLike = requires {
  std::tuple_size<T>::value;
};

inline ConstView view_of(const Tensor& t) { return t.value(); }
inline ConstView view_of(const Array& a) { return a.view(); }
inline ConstView view_of(const ConstView& v) { return v; }

/// Calls leaf(x) for everything TensorLike and number(x) for everything baked.
template <class T, class Leaf, class Number>
void visit(T& x, Leaf&& leaf, Number&& number) {
  using Plain = std::remove_const_t<T>;
  if constexpr (TensorLike<Plain>) {
    leaf(x);
  } else if constexpr (Baked<Plain>) {
    number(x);
  } else if constexpr (std::ranges::range<T>) {
    number(static_cast<std::size_t>(std::ranges::size(x)));
    for (auto& part : x) visit(part, leaf, number);
  } else if constexpr (TupleLike<Plain>) {
    std::apply([&](auto&... part) { (visit(part, leaf, number), ...); }, x);
  } else {
    static_assert(
        std::is_aggregate_v<Plain>,
        "compile takes and returns Tensors, Arrays, views, numbers, and ranges, tuples and aggregates of them");
    std::apply([&](auto&... part) { (visit(part, leaf, number), ...); }, fields(x));
  }
}

/// The Tensors of a result, in order.
template <class T>
void collect_tensors(T& result, std::vector<Tensor>& into) {
  visit(
      result,
      [&](auto& leaf) {
        if constexpr (std::is_same_v<std::remove_const_t<std::remove_reference_t<decltype(leaf)>>, Tensor>)
          into.push_back(leaf);
      },
      [](const auto&) {});
}
template <class T>
std::vector<Tensor> tensors_in(const T& result) {
  std::vector<Tensor> out;
  collect_tensors(result, out);
  return out;
}

template <class T>
struct TracedType {
  using type = T;
};
template <TensorLike T>
struct TracedType<T> {
  using type = Tensor;
};
template <class T>
struct TracedType<std::vector<T>> {
  using type = std::vector<typename TracedType<T>::type>;
};
template <class T, std::size_t N>
struct TracedType<std::array<T, N>> {
  using type = std::array<typename TracedType<T>::type, N>;
};
template <class A, class B>
struct TracedType<std::pair<A, B>> {
  using type = std::pair<typename TracedType<A>::type, typename TracedType<B>::type>;
};
template <class... T>
struct TracedType<std::tuple<T...>> {
  using type = std::tuple<typename TracedType<T>::type...>;
};
template <class T>
using Traced = typename TracedType<T>::type;

/// `x` with make(view) in the place of every leaf.
template <class T, class Make>
Traced<T> traced(const T& x, Make&& make) {
  if constexpr (TensorLike<T>) {
    return make(view_of(x));
  } else if constexpr (Baked<T>) {
    return x;
  } else if constexpr (!std::is_same_v<Traced<T>, T> && std::ranges::range<T>) {
    Traced<T> out;
    if constexpr (requires { out.resize(x.size()); }) out.resize(x.size());
    auto to = out.begin();
    for (const auto& part : x) *to++ = traced(part, make);
    return out;
  } else if constexpr (!std::is_same_v<Traced<T>, T>) {
    return std::apply([&](const auto&... part) { return Traced<T>{traced(part, make)...}; }, x);
  } else {  // a State: the same type with other tensors in it
    T out = x;
    visit(
        out,
        [&](auto& leaf) {
          static_assert(std::is_same_v<std::remove_reference_t<decltype(leaf)>, Tensor>,
                        "a struct that compile takes holds Tensors, not Arrays");
          leaf = make(leaf.value());
        },
        [](const auto&) {});
    return out;
  }
}

}  // namespace rw::detail
