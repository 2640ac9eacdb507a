#pragma once

#include <compare>
#include <map>
#include <span>
#include <vector>

#include <rewind/autograd/compile/memory/layout.h>

namespace rw::ir {

/// Some rows and columns of a buffer whose rows are a fixed distance apart.
struct Part {
  Index row = 0, rows = 0, col = 0, cols = 0;
  auto operator<=>(const Part&) const = default;
};

struct Access {
  NodeId value = no_node, time = 0;
  bool write = false;
};

/// What happens to a part at a time.
struct Event {
  bool read = false, write = false;
};
using Events = std::map<NodeId, Event>;  // by time

/// How the parts of one buffer are used. Parts that overlap without being equal are not told apart.
class Uses {
 public:
  std::vector<Access> accesses;

  /// Sorts out the parts of `accesses`, in a buffer of `bytes`.
  void find_parts(const Graph& g, const Layout& layout, std::size_t bytes);

  Part part_of(const Graph& g, const Layout& layout, NodeId value) const;

  /// Whether nothing uses a part after `time`, and at that time it is read at most, as itself.
  bool ends(const Part& part, NodeId time) const;
  /// Whether a part that is read at `time` is free from then until `until`: what comes next writes it. It may do so at
  /// `until` when that is a kernel that reads what stands there (`kernel_at_end`).
  bool free(const Part& part, NodeId time, NodeId until, bool kernel_at_end) const;
  /// Another value's uses of the part; forgets it when only parts of that are used.
  void add(const Part& part, const Uses& other);
  NodeId last() const { return last_; }
  bool has_parts() const { return has_parts_; }

 private:
  const Events* rows_around(const Part& part) const;

  // What overlaps in rows must have the same rows, and columns that are apart, but for uses of all columns.
  void forget_overlapping();
  void sort_out(std::span<const Part> parts, bool equal_rows);

  Index stride_ = 0;  // between rows; 0: there is one row
  bool regular_ = true, has_parts_ = false;
  NodeId last_ = 0;
  Events whole_;
  std::map<std::pair<Index, Index>, Events> rows_;  // uses of all columns of rows that have parts
  std::map<Part, Events> parts_;                    // without those that overlap
};

}  // namespace rw::ir
