#pragma once

#include <cstdint>
#include <vector>

#include <rewind/autograd/program/graph.h>

namespace rw::ir {

/// A graph behind its last pass, as what runs: units, each a kernel or a node by itself, in two halves. In the forward
/// half memory fills up, in the backward half it is given back. The forward half is cut into segments at narrow places,
/// where few bytes go on; a unit of the backward half belongs to the segment whose values it needs, and runs when that
/// segment's turn comes: the last one first.
struct Halves {
  explicit Halves(const Graph& g);

  /// What can be said of a node.
  enum class Kind : std::uint8_t {
    fixed,    // a leaf, or computed from parameters and constants alone: there all the time
    forward,  // computed in the forward half
    view,     // of some other node, and in no kernel
    backward  // computed in the backward half
  };
  struct Unit {
    NodeId begin = 0, end = 0;  // nodes
  };

  std::vector<Unit> units;
  std::vector<std::uint32_t> unit_of;             // by node
  std::vector<Kind> kinds;                        // by node
  std::vector<std::uint32_t> forward, backward;   // units in the order in which they run
  std::vector<std::uint32_t> first;               // by segment: the first of `forward`; one more at the end
  std::vector<std::uint32_t> segment;             // by node, of kinds forward and backward
  std::vector<std::vector<std::uint32_t>> reads;  // by forward value: the later segments that read it, ascending
  std::vector<bool> late;                         // by forward value: an earlier segment's backward half reads it
  std::vector<std::vector<NodeId>> wanted;        // by segment: its values that the backward half reads
  std::size_t widest = 0;                         // bytes that go on at the widest cut

  std::uint32_t segments() const { return static_cast<std::uint32_t>(first.size() - 1); }

 private:
  void find_units(const Graph& g);
  void find_kinds(const Graph& g);
  std::vector<std::size_t> find_bytes(const Graph& g) const;
  std::vector<std::uint32_t> last_uses(const Graph& g, const std::vector<std::uint32_t>& position) const;
  std::uint32_t find_turn(const Graph& g, const std::vector<std::size_t>& bytes) const;
  void order_forward(const Graph& g);
  void cut(const Graph& g, const std::vector<std::size_t>& bytes);
  void find_reads(const Graph& g);
  void order_backward(const Graph& g);
};

}  // namespace rw::ir
