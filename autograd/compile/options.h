#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <rewind/core/dtype.h>

namespace rw {

/// What `compile` may do, to be switched on and off. Dead code is always left out.
enum class Pass : std::uint32_t {
  simplify = 1,     // common subexpressions, constants, views of views
  batch = 2,        // products and sums of many time steps become one
  fuse = 4,         // elementwise trees become kernels
  place = 8,        // pieces are computed where their concatenation wants them
  reuse = 16,       // values that are not alive together share memory
  pack = 64,        // matrices of many products are packed once a replay
  accumulate = 32,  // products add into the gradients of parameters
  branch = 128,     // kernels that do not depend on each other run on a thread each
  chunk = 256,      // products of many steps are cut, so that layers of a stack overlap
  loops = 512       // the plan of a length that was not seen follows from those of others
};

/// A switch by name, and whether results have the same bits with it on and off.
struct PassSwitch {
  Pass pass;
  std::string_view name;
  bool keeps_bits;
};
inline constexpr std::array<PassSwitch, 10> pass_switches{{{Pass::simplify, "simplify", true},
                                                           {Pass::batch, "batch", false},
                                                           {Pass::fuse, "fuse", true},
                                                           {Pass::place, "place", true},
                                                           {Pass::reuse, "reuse", true},
                                                           {Pass::pack, "pack", false},
                                                           {Pass::accumulate, "accumulate", false},
                                                           {Pass::branch, "branch", true},
                                                           {Pass::chunk, "chunk", false},
                                                           {Pass::loops, "loops", true}}};

/// A set of passes.
class Passes {
 public:
  /// The set of one.
  constexpr Passes(Pass pass) : bits_(static_cast<std::uint32_t>(pass)) {}
  /// Every pass.
  static constexpr Passes all() {
    Passes out = none();
    for (const PassSwitch& s : pass_switches) out = out | s.pass;
    return out;
  }
  /// No pass.
  static constexpr Passes none() { return Passes(0); }
  /// All whose results have the bits of the eager run (with gradients taken by `grad`).
  static constexpr Passes exact() {
    Passes out = none();
    for (const PassSwitch& s : pass_switches)
      if (s.keeps_bits) out = out | s.pass;
    return out;
  }
  /// Whether all of these are in the set.
  constexpr bool has(Passes passes) const { return (bits_ & passes.bits_) == passes.bits_; }
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

/// When a plan is compared with a run of the function on a tape.
enum class SelfCheck : std::uint8_t {
  off,
  first,  // at the first call of each program: again for other ops, and not for another length or batch
  always  // at every call: to look for a fault
};

struct CompileOptions {
  /// Real type of the traced tape. Without it: that of the first example that is a Tensor or a real array.
  std::optional<DType> dtype = std::nullopt;
  /// Seed of keyed randomness (dropout).
  std::uint64_t seed = 0;
  /// Trace and compile nothing: every call runs the function on a tape, op by op. For looking at values on the way, and
  /// for comparing.
  bool eager = false;
  Passes passes = Passes::all();
  /// Check the graph after each pass; always on in debug builds.
  bool verify = false;
  /// bf16 is for f32 functions on processors with AVX512_BF16 (else compile throws Error, unless `force_bf16`).
  /// Parameters, their gradients and the optimizer stay f32. Faster than f32 where the processor has AMX.
  Precision matmul = Precision::full;
  bool force_bf16 = false;
  /// Watch every step of a replay, slowly and on one thread: what a step writes outside of its own values is an Error,
  /// and what was not written before it is read is nan. For tests of the compiler.
  bool watch_memory = false;
  /// With Pass::branch: kernels run side by side in sections that take at least so long, estimated in microseconds;
  /// and with Pass::chunk: a product is cut where that lets others begin so much earlier. 0: wherever it can be done.
  double branch_from = 60;
  /// A call that is checked runs the function on a tape, and then the plan, both apart from the parameters' gradients,
  /// to which the plan's are added. Where they differ by more than rounding explains, a tape of f64 decides; a wrong
  /// plan is an Error that says which pass and which kernel, and nothing is changed. With `matmul` in bf16 the tape
  /// runs what was traced, with rounded operands. `explain()` says what came of it. The function runs once more for it,
  /// so it should do nothing but compute.
  SelfCheck check = SelfCheck::first;
  /// The most memory that the tape of a check may take, in bytes: else the check is left out, and `explain()` says so.
  /// Without it: `memory` where there is such a budget, or else half of what the system has free.
  std::optional<std::size_t> check_bytes = std::nullopt;
  /// Seconds in which to measure, when the first plan is made, which choices suit this function and this machine best:
  /// lanes or not, one thread or all, from which size work is shared, ... (true: one second). 0: nothing is measured,
  /// and costs decide. Replays for this leave gradients, steps and results alone. Other plans take over what was
  /// chosen; `explain()` says what was tried. Choices never change bits, unless `tune_other_bits` is set: then packing
  /// and cutting products, which add in another order, may be chosen too.
  double tune = 0;
  bool tune_other_bits = false;
  /// What choices() of a compiled function wrote, or a part of it: nothing is measured then. Throws Error for any other
  /// text. Empty: what suits this machine.
  std::string choices = {};
  /// The most memory that each plan may take, in bytes: values, scratch and packed matrices; arguments, parameters and
  /// their gradients come on top. What there is no room for is computed again on the way back, as little as possible
  /// (see docs/compiler.md, "Memory within a budget"); `explain()` says what is kept, what is computed again and what
  /// that costs. Results and gradients have the same bits whatever the budget is; with Passes::exact() they are those
  /// of the eager run, too (whose `backward` adds large products to gradients block by block, see gemm: `grad` does
  /// not). With other passes they differ from those of a plan without a budget by the order of sums:
  /// here products over all steps are cut into blocks of steps, whose size does not depend on the budget. Layers and
  /// kernels do not run side by side (Pass::branch and Pass::chunk do nothing), products of Precision::bf16 multiply
  /// rounded numbers in f32, and each length is compiled as a whole. `compile` throws Error, with the least budget that
  /// would do, when the function does not fit.
  std::optional<std::size_t> memory = std::nullopt;
};

}  // namespace rw
