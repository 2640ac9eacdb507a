#pragma once

#include <string_view>

#include <rewind/core/array.h>
#include <rewind/core/random.h>

namespace rw {

// Starting values, f32. A weight matrix is [in, out]: it is applied as x W. `zeros` and `full` are in core/array.h.

/// Every element `value`.
inline Array constant(const Shape& shape, double value) { return full(shape, value); }
/// Uniform in [lo, hi). Throws Error unless lo <= hi and both are finite.
Array uniform(Rng& rng, const Shape& shape, double lo, double hi);
/// Normal with this standard deviation and mean 0.
Array normal(Rng& rng, const Shape& shape, double deviation);
/// Uniform in +-sqrt(6 / (in + out)): keeps the variance of activations and gradients (Glorot and Bengio, 2010).
Array glorot(Rng& rng, Index in, Index out);
/// Normal with deviation sqrt(2 / in), for relu (He et al., 2015).
Array he(Rng& rng, Index in, Index out);
/// Uniform in +-1 / sqrt(in) (LeCun et al., 1998).
Array lecun(Rng& rng, Index in, Index out);
/// Random, with orthonormal rows or columns, whichever are fewer, times `gain` (Saxe et al., 2014).
Array orthogonal(Rng& rng, Index in, Index out, double gain = 1);
inline Array orthogonal(Rng& rng, Index n) { return orthogonal(rng, n, n); }
/// Ones on the diagonal times `scale` (for relu recurrence: Le, Jaitly and Hinton, 2015).
Array identity(Index in, Index out, double scale = 1);
inline Array identity(Index n) { return identity(n, n); }

/// The choice of a weight matrix's start, as an option: `{.recurrent = Init::uniform(0.08)}`.
struct Init {
  /// Which of the functions above.
  enum class Kind { glorot, he, lecun, orthogonal, identity, uniform, normal, constant };
  Kind kind = Kind::glorot;
  /// Half width, deviation, gain or value; glorot, he and lecun have none.
  double scale = 1;

  /// As the function of that name above; so do all that follow.
  static constexpr Init glorot() { return {Kind::glorot}; }
  /// See rw::he.
  static constexpr Init he() { return {Kind::he}; }
  /// See rw::lecun.
  static constexpr Init lecun() { return {Kind::lecun}; }
  /// See rw::orthogonal.
  static constexpr Init orthogonal(double gain = 1) { return {Kind::orthogonal, gain}; }
  /// See rw::identity.
  static constexpr Init identity(double scale = 1) { return {Kind::identity, scale}; }
  /// Between -half_width and half_width.
  static constexpr Init uniform(double half_width) { return {Kind::uniform, half_width}; }
  /// Of mean 0.
  static constexpr Init normal(double deviation) { return {Kind::normal, deviation}; }
  /// One number everywhere.
  static constexpr Init constant(double value) { return {Kind::constant, value}; }
  /// By name: "glorot", "uniform", ... Throws Error, listing the names, for another one.
  static Init named(std::string_view name, double scale = 1);

  /// A matrix [in, blocks * out] of `blocks` matrices side by side, each made by itself: the gates of a cell.
  Array operator()(Rng& rng, Index in, Index out, Index blocks = 1) const;
};

}  // namespace rw
