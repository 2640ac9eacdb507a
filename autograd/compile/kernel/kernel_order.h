#pragma once

#include <compare>
#include <cstdint>
#include <vector>

#include <rewind/autograd/compile/memory/layout.h>
#include <rewind/autograd/program/graph.h>
#include <rewind/autograd/program/queries.h>

namespace rw::ir {

/// When an instruction runs: in the order of these fields. First what depends on no sum of a row, then what depends on
/// one, and so on; and between two sums what computes one number a row, then whole rows, then the next sums.
struct Phase {
  enum class Kind : std::uint32_t { numbers, rows, sums };
  std::uint32_t sums_before = 0;
  Kind kind = Kind::numbers;
  auto operator<=>(const Phase&) const = default;
};

/// The nodes [begin, end) of one kernel: which of them have an instruction of their own, and in which order.
class KernelOrder {
 public:
  KernelOrder(const Graph& g, const std::vector<Place>& places, NodeId begin, NodeId end,
              const std::vector<bool>& used_outside);

 protected:
  bool inside(NodeId i) const { return i >= begin_ && i < end_; }
  // The node behind views. Within a kernel they differ in axes of length 1 alone: the elements are the
  // same.
  NodeId through_views(NodeId i) const {
    while (inside(i) && is_view(g_, i)) i = g_.in(i, 0);
    return i;
  }
  Arithmetic arithmetic(NodeId i) const;
  // The node whose instruction computes node i.
  NodeId writer_of(NodeId i) const { return part_of_[i - begin_] == no_node ? i : part_of_[i - begin_]; }
  // Calls f(the node whose instruction reads, what it reads) for all inputs.
  template <class F>
  void for_each_read(F&& f) const {
    for (NodeId i = begin_; i < end_; ++i)
      if (!is_view(g_, i))
        for (NodeId in : g_.in(i)) f(writer_of(i), through_views(in));
  }

  const Graph& g_;
  NodeId begin_, end_;
  const std::vector<bool>& used_outside_;
  Phase phase(NodeId i) const { return phase_[i - begin_]; }
  std::vector<NodeId> part_of_;          // the node whose instruction computes this one too
  std::vector<NodeId> order_;            // the nodes that have an instruction
  std::vector<Phase> phase_;             // of a node
  std::vector<std::uint32_t> position_;  // of a node in `order_`
  std::vector<NodeId> copied_;           // results that are copied to their places at the end

 private:
  void combine();
  void find_phases();
  // Whether the instruction of a comes before that of b.
  bool before(NodeId a, NodeId b) const { return phase(a) != phase(b) ? phase(a) < phase(b) : a < b; }
  void put_in_order(const std::vector<Place>& places);
};

}  // namespace rw::ir
