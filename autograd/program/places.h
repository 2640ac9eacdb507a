#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <rewind/autograd/program/program.h>

namespace rw::ir {

/// first + sum of per[l] t_l, over the steps of the loops around a reader.
struct Linear {
  Index first = 0;
  std::array<Index, most_nested> per{};
};

/// Which value is read: that of an op, at which step of each loop around it, the outermost loop first; or a shared
/// leaf.
///
/// A step whose loop is the reader's too is t (its own), or t - 1 (what the step before has left); of another loop it
/// is a number (the first, the last), t, or a number less t (backwards), or 2 t (every second one).
struct Source {
  std::uint32_t op = no_entry;
  std::int32_t leaf = -1;
  std::vector<Linear> steps;
};

/// What the reads of a program mean: they say positions, this says whose.
class Places {
 public:
  /// `p` must outlive this.
  explicit Places(const Program& p);

  /// What `reader` reads as `r`, or the value `further` positions behind that; where another read stands for the first
  /// step of a loop, at the others. Nothing where it is not one op's at all steps, of the innermost loop at all from
  /// `after` on.
  std::optional<Source> of(std::uint32_t reader, const Read& r, std::int32_t further = 0, std::int32_t after = 0) const;
  /// Where a node of the unfolded graph is.
  Source of_node(NodeId id) const;
  /// The loops around an op, as numbers of items, the outermost first.
  std::span<const std::uint32_t> loops_around(std::uint32_t op) const { return loops_[op]; }

 private:
  /// The lowest and highest step of each loop at which something is read.
  struct Range {
    PerLoop low{}, high{};
  };
  void add_items(std::size_t at, std::size_t end, std::vector<std::uint32_t>& loops);
  void add_op(std::uint32_t op);
  Source at_position(std::int32_t at) const;
  bool add_term(Source& place, std::int32_t per, std::uint32_t l, const Range& range) const;
  bool in_range(const Source& place, const ProgramOp& reader, const Range& range) const;

  const Program& p_;
  std::vector<std::vector<std::uint32_t>> loops_;  // by op
  std::vector<std::uint32_t> op_at_;               // by position
};

}  // namespace rw::ir
