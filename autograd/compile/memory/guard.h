#pragma once

#include <cstddef>
#include <vector>

#include <rewind/autograd/compile/memory/layout.h>

namespace rw::ir {

/// Watches the steps of a replay, one after another: memory holds nans from when a buffer begins to be used until it is
/// written, and a step that changes anything but the places of its own values is an Error which names it.
class MemoryGuard {
 public:
  MemoryGuard(const Graph& g, const Layout& layout, std::byte* arena);

  /// Fills everything with nans: a replay begins.
  void begin();
  /// Around each step: `node` is one of those that it computes; a copy may write what it copies for, too.
  void before(NodeId node);
  void after(NodeId node, bool copies);

 private:
  /// The nodes that run together with one.
  struct Unit {
    NodeId begin, end;
  };
  Unit unit_of(NodeId node) const;
  void fill(const Layout::Buffer& buffer);
  void allow(NodeId value);
  void allow(const Place& place, const Node& n);

  const Graph& g_;
  const Layout& layout_;
  std::byte* arena_;
  std::vector<std::uint32_t> by_first_;  // buffers
  std::size_t begun_ = 0;
  std::vector<std::byte> was_;
  std::vector<bool> allowed_;  // by byte
};

}  // namespace rw::ir
