#pragma once

#include <vector>

#include <rewind/autograd/compile/options.h>
#include <rewind/autograd/program/graph.h>

namespace rw::ir {

/// Where a value's memory comes from. A layout places nothing in gradients of parameters: lowering does, for products
/// that are added there.
enum class Base : std::uint8_t { none, buffer, input, parameter, constant, gradient };

/// Where a value stands: offset and stride of its rows in elements.
struct Place {
  Base base = Base::none;
  std::uint32_t id = 0;  // number of the buffer, input, parameter or constant
  Index offset = 0, stride = 1;
};

/// The place of every value of a sorted graph. Buffers have no addresses yet.
struct Layout {
  struct Buffer {
    std::size_t bytes = 0;
    NodeId first = no_node, last = 0;  // first and last node that uses it
    std::size_t address = 0;           // in the arena, bytes
    std::uint32_t lane = 0;            // the only one that uses it, by its number; 0: several, or none
  };
  /// A piece of a concatenation that could not be computed in its place.
  struct Copy {
    NodeId concat, piece;
    Place to;
  };
  /// A contiguous copy of an input, for an op that cannot read rows that are apart.
  struct ContiguousInput {
    NodeId node;
    std::uint32_t input;
    Place to;
  };
  std::vector<Place> places;
  std::vector<bool> computed;  // the node runs: it is neither a leaf nor a view
  std::vector<Buffer> buffers;
  std::vector<Copy> copies;                        // by concat, ascending
  std::vector<ContiguousInput> contiguous_inputs;  // by node, ascending
  std::size_t arena = 0;                           // bytes

  ConstView view(const Graph& g, NodeId id, const void* base) const;
};

/// Chooses places: views look at what they view, pieces stand where their concatenation wants them (`Pass::place`),
/// buffers share addresses when they are not alive together (`Pass::reuse`).
Layout layout(const Graph& g, Passes passes);

/// Whether the last vector of a value may be read and written whole: nothing stands behind it in its buffer. An array's
/// memory, too, is whole vectors, which may be read. The value's `begin` and size are in bytes; `at` says which memory.
bool has_room(const Layout& layout, const Store& store, const Place& at, Index begin, Index bytes);

/// Finds when, and by which branch alone, each buffer is used.
void find_lifetimes(const Graph& g, Layout& layout);

/// Gives every buffer an address; with `reuse`, buffers that are not alive together may share them.
void assign_addresses(Layout& layout, bool reuse);

}  // namespace rw::ir
