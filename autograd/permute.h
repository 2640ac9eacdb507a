#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>

#include <rewind/autograd/backward.h>

namespace rw {

/// The op behind transpose and permute, and what vmap moves an axis with: axis i of the value is axis axes[i] of the
/// input. `axes` is 0 beyond `rank`.
struct Permute {
  static constexpr std::string_view name = "permute";
  static constexpr bool any_dtype = true;
  static constexpr bool strided_inputs = true;
  Index rank = 0;
  std::array<Index, max_rank> axes{};
  Shape infer(std::span<const Shape> in) const;
  void eval(std::span<const ConstView> x, View y) const;
  void vjp(Vjp& g) const;
  Tensor vmap(Vmap& v) const;
  std::string describe() const;
};

/// The op behind flip.
struct Flip {
  static constexpr std::string_view name = "flip";
  static constexpr bool any_dtype = true;
  Index axis = 0;
  Shape infer(std::span<const Shape> in) const;
  void eval(std::span<const ConstView> x, View y) const;
  void vjp(Vjp& g) const;
  Tensor vmap(Vmap& v) const;
  std::string describe() const;
};

}  // namespace rw
