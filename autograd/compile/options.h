#pragma once

#include <cstdint>
#include <optional>

#include <rewind/core/dtype.h>

namespace rw {

/// The passes of `compile`. Dead code is always left out.
enum class Pass : std::uint32_t {
  simplify = 1,     // common subexpressions, constants, views of views: keeps bits
  batch = 2,        // products and sums of many time steps become one: does not keep bits
  fuse = 4,         // elementwise trees become kernels: keeps bits
  place = 8,        // pieces are computed where their concatenation wants them: keeps bits
  reuse = 16,       // values that are not alive together share memory: keeps bits
  pack = 64,        // matrices of many products are packed once a replay: does not keep bits
  accumulate = 32,  // products add into the gradients of parameters: does not keep bits
  branch = 128,     // kernels that do not depend on each other run on a thread each: keeps bits
  chunk = 256       // products of many steps are cut, so that layers of a stack overlap: does not keep bits
};

/// A set of passes.
class Passes {
 public:
  /// The set of one.
  constexpr Passes(Pass pass) : bits_(static_cast<std::uint32_t>(pass)) {}
  /// Every pass.
  static constexpr Passes all() { return Passes(511); }
  /// No pass.
  static constexpr Passes none() { return Passes(0); }
  /// All whose results have the bits of the eager run (with gradients taken by `grad`).
  static constexpr Passes exact() { return all() - Pass::batch - Pass::accumulate - Pass::pack - Pass::chunk; }
  /// Whether it is in the set.
  constexpr bool has(Pass pass) const { return (bits_ & static_cast<std::uint32_t>(pass)) != 0; }
  /// Both sets together.
  constexpr Passes operator|(Passes other) const { return Passes(bits_ | other.bits_); }
  /// This set without the other.
  constexpr Passes operator-(Passes other) const { return Passes(bits_ & ~other.bits_); }

 private:
  constexpr explicit Passes(std::uint32_t bits) : bits_(bits) {}
  std::uint32_t bits_;
};

/// What matrix products multiply.
enum class Precision : std::uint8_t {
  full,  // the tape's real type
  bf16   // numbers rounded to bf16 (8 bits of 24); sums, and all that is no product, in f32
};

struct CompileOptions {
  /// Real type of the traced tape. Without it: that of the first example that is a Tensor or a real array.
  std::optional<DType> dtype = std::nullopt;
  /// Seed of keyed randomness (dropout).
  std::uint64_t seed = 0;
  Passes passes = Passes::all();
  /// Check the graph after each pass; always on in debug builds.
  bool verify = false;
  /// bf16 is for f32 functions on processors with AVX512_BF16 (else compile throws Error, unless `force_bf16`).
  /// Parameters, their gradients and the optimizer stay f32. Faster than f32 where the processor has AMX.
  Precision matmul = Precision::full;
  bool force_bf16 = false;
  /// With Pass::branch: kernels run side by side in stretches that take at least so long, estimated in microseconds;
  /// and with Pass::chunk: a product is cut where that lets others begin so much earlier. 0: wherever it can be done.
  double branch_from = 60;
};

}  // namespace rw
