#pragma once

// Internal to tools/export/.

#include <optional>
#include <string>
#include <vector>

#include <rewind/autograd/program/places.h>
#include <rewind/autograd/program/program.h>
#include <rewind/tools/export/recorded_sequence.h>

namespace rw::detail {

/// A length that follows from the number of steps T and the batch N: factor * (T or 1) * (N or 1) + more.
struct Length {
  Index factor = 0;
  bool steps = false, batch = false;
  Index more = 0;

  bool is_number() const { return !steps && !batch; }
  /// T + more.
  bool is_steps() const { return steps && !batch && factor == 1; }
  bool operator==(const Length&) const = default;
};
using Lengths = std::vector<Length>;

/// Which value is read: an op's, at a step of each loop around it, the outermost first, or a leaf. A step is `first`
/// and as much more with every step of the loops around the reader, the innermost first.
struct SizedStep {
  Length first;
  ir::PerLoop per{};
};
struct SizedSource {
  std::uint32_t op = ir::no_entry;
  std::int32_t leaf = -1;
  std::vector<SizedStep> steps = {};
  /// The first step of the reader's innermost loop that reads this; those before it read something else each.
  std::int32_t after = 0;
};

/// A value that an op reads: one of a read's, or of what stands for that at the first steps of loops (of the first one
/// here, and so on; the innermost loop is 0).
struct ReadOf {
  std::uint32_t op = 0, input = 0;
  Index further = 0;
  std::vector<std::uint32_t> at_first = {};
};

/// The folded program of a recorded sequence, whose lengths are known as functions of T and N.
class SizedProgram {
 public:
  /// Throws Error, naming the op, for what draws random numbers, and for a program that is another one at another
  /// length or batch.
  explicit SizedProgram(const RecordedSequence& sequence);

  /// The program at the first size. Its lengths, positions and numbers are that size's only.
  const ir::Program& program() const { return programs_[0]; }
  /// "[matmul] (2, 3) in lstm/t=0".
  std::string describe(std::uint32_t op) const;

  Length trips(std::size_t item) const;
  Lengths shape_of(std::uint32_t op) const;
  Lengths leaf_shape(std::int32_t leaf) const;
  Lengths shape_of(const SizedSource& s) const { return s.leaf >= 0 ? leaf_shape(s.leaf) : shape_of(s.op); }
  DType dtype_of(const SizedSource& s) const;
  /// Whether a constant begins with the same numbers at every size: all that the smallest has.
  bool is_same_constant(std::int32_t leaf) const;

  /// The number of reads of an op, each of one value or of many.
  std::uint32_t inputs(std::uint32_t op) const { return program().ops[op].node.arity; }
  Length count(std::uint32_t op, std::uint32_t input) const;
  const ir::Read& read(const ReadOf& r) const { return read(0, r); }
  /// The read that has this operand. Nothing where the number of operands is not known.
  std::optional<ReadOf> operand(std::uint32_t op, std::uint32_t number) const;
  /// What is read by a reader at the steps `at` of the loops around it, the innermost first; at any step of a loop
  /// where that is -1. Throws Error for a read without a rule.
  SizedSource source(const ReadOf& r, const ir::PerLoop& at) const;
  /// The same; nothing for a read without a rule.
  std::optional<SizedSource> rule(const ReadOf& r, const ir::PerLoop& at) const;
  /// Of a read of many values, one for each step of a loop: how many of the first ones were computed before the loop.
  Index before_loop(ReadOf r, const ir::PerLoop& at) const;
  SizedSource output(std::size_t k) const;
  /// The loops around an op, as numbers of items, the outermost first.
  std::span<const std::uint32_t> loops_around(std::uint32_t op) const { return places_[0].loops_around(op); }

  /// Attributes at the first step and at the next one of the innermost loop, at each size.
  struct Attributes {
    std::array<std::vector<std::uint64_t>, 3> first;
    std::array<std::vector<std::uint64_t>, 3> second;
    bool change() const { return first[0] != second[0]; }
    /// The op that some of them are.
    template <class Op>
    static const Op& as(const std::vector<std::uint64_t>& words) {
      return *static_cast<const Op*>(static_cast<const void*>(words.data()));
    }
  };
  /// At the steps `at` of the loops around the op, the innermost first, where these are not -1. Throws Error when they
  /// change with another loop than the innermost one.
  Attributes attributes(std::uint32_t op, const ir::PerLoop& at = {-1, -1, -1}) const;
  /// At these steps of the loops around the op, the innermost first, at each size.
  std::array<std::vector<std::uint64_t>, 3> attributes_at(std::uint32_t op, const ir::PerLoop& steps) const;
  /// From what it is at the three sizes. Throws Error, naming the op, for another function.
  Length length_of(std::array<Index, 3> values, std::uint32_t op) const;
  /// The same of a number that the op works with, as the count of a mean over the steps. Throws Error where it is not
  /// whole.
  Length length_in(const std::array<double, 3>& numbers, std::uint32_t op) const;

 private:
  const ir::Read& read(std::size_t size, const ReadOf& r) const;
  std::optional<SizedSource> source(const ReadOf& of, const ir::PerLoop& at, std::int32_t after) const;
  template <class At>
  SizedSource sized(std::uint32_t op, At&& at) const;
  [[noreturn]] void throw_changes(const std::string& what) const;
  void check_same() const;

  std::vector<ir::Program> programs_;
  std::vector<ir::Places> places_;
};

}  // namespace rw::detail
