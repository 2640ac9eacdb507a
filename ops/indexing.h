#pragma once

#include <array>
#include <span>
#include <string_view>

#include <rewind/autograd/backward.h>

namespace rw {

// The ops behind lookup.h and cross_entropy. Input 1 (the only one of OneHot) holds indices.

/// (table [V, E], indices [...]) to [..., E].
struct Lookup {
  static constexpr std::string_view name = "lookup";
  static constexpr int arity = 2;
  static constexpr bool moves_elements = true;
  static constexpr std::uint32_t integer_inputs = 0b10;
  static constexpr bool strided_inputs = true;
  Shape infer(std::span<const Shape> in) const;
  void eval(std::span<const ConstView> x, View y) const;
  void vjp(Vjp& g) const;
  Tensor vmap(Vmap& v) const;
};

/// (rows [..., E], indices [...]) to [V, E]: rows added up by index, in their order, in blocks (core/long_sum.h).
/// Lookup transposed.
struct ScatterRows {
  static constexpr std::string_view name = "scatter_rows";
  static constexpr int arity = 2;
  static constexpr std::array<std::string_view, 1> attribute_names{"rows"};
  static constexpr std::uint32_t integer_inputs = 0b10;
  Index rows = 0;
  Shape infer(std::span<const Shape> in) const;
  void eval(std::span<const ConstView> x, View y) const;
  void eval_add(std::span<const ConstView> x, View y) const;
  void vjp(Vjp& g) const;
  std::string describe() const;
};

/// (x [..., C], indices [...]) to [...].
struct Pick {
  static constexpr std::string_view name = "pick";
  static constexpr int arity = 2;
  static constexpr bool moves_elements = true;
  static constexpr bool leading_axes = true;
  static constexpr std::uint32_t integer_inputs = 0b10;
  static constexpr bool strided_inputs = true;
  Shape infer(std::span<const Shape> in) const;
  void eval(std::span<const ConstView> x, View y) const;
  void vjp(Vjp& g) const;
};

/// (x [...], indices [...]) to [..., C]: each number at its index, 0 elsewhere. Pick transposed.
struct Place {
  static constexpr std::string_view name = "place";
  static constexpr int arity = 2;
  static constexpr std::array<std::string_view, 1> attribute_names{"classes"};
  static constexpr bool moves_elements = true;
  static constexpr bool leading_axes = true;
  static constexpr std::uint32_t integer_inputs = 0b10;
  Index classes = 0;
  Shape infer(std::span<const Shape> in) const;
  void eval(std::span<const ConstView> x, View y) const;
  void eval_add(std::span<const ConstView> x, View y) const;
  void vjp(Vjp& g) const;
  std::string describe() const;
};

/// indices [...] to [..., C].
struct OneHot {
  static constexpr std::string_view name = "one_hot";
  static constexpr int arity = 1;
  static constexpr std::array<std::string_view, 1> attribute_names{"classes"};
  static constexpr bool leading_axes = true;
  static constexpr std::uint32_t integer_inputs = 0b1;
  Index classes = 0;
  Shape infer(std::span<const Shape> in) const;
  void eval(std::span<const ConstView> x, View y) const;
  std::string describe() const;
};

namespace detail {

/// Indices in a view, numbered row-major, all of them in [0, bound).
class Indices {
 public:
  /// Throws Error that names the first one outside, and where it is.
  Indices(ConstView view, Index bound);
  Index size() const { return view_.size(); }
  Index operator[](Index i) const {
    return view_.contiguous() ? view_.as<std::int32_t>()[i]
                              : view_.row<std::int32_t>(i / view_.cols())[i % view_.cols()];
  }

 private:
  ConstView view_;
};

/// Throws Error unless `indices` is `x` without its last axis.
void check_one_index_a_row(const Shape& x, const Shape& indices);

}  // namespace detail

}  // namespace rw
