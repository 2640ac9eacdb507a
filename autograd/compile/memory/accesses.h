#pragma once

#include <algorithm>
#include <vector>

#include <rewind/autograd/compile/kernel/kernel.h>
#include <rewind/autograd/compile/memory/layout.h>

namespace rw::ir {

/// The last node of each node's kernel, or the node itself: all accesses of a step happen at this time.
inline std::vector<NodeId> step_times(const Graph& g) {
  std::vector<NodeId> times(g.size());
  for (NodeId i = g.size(); i-- > 0;) {
    const std::uint32_t k = g.nodes[i].kernel;
    times[i] = k != no_kernel && i + 1 < g.size() && g.nodes[i + 1].kernel == k ? times[i + 1] : i;
  }
  return times;
}

/// Calls f(value, time, write) for each time that a step reads or writes a value in a buffer, and at the end, at the
/// time g.size(), for what is looked at afterwards. What a kernel reads again for other rows counts as written by it,
/// too: nothing that it writes may stand there.
template <class F>
void for_each_access(const Graph& g, const Layout& layout, const std::vector<NodeId>& times, F&& f) {
  const auto access = [&](NodeId value, NodeId time, bool write) {
    if (layout.places[value].base == Base::buffer && g.nodes[value].shape.size() > 0) f(value, time, write);
  };
  std::vector<bool> runs(layout.computed);
  for (const Layout::Copy& c : layout.copies) runs[c.concat] = true;
  for (NodeId i = 0; i < g.size(); ++i) {
    if (!runs[i] && g.nodes[i].kernel == no_kernel) continue;
    const bool in_kernel = g.nodes[i].kernel != no_kernel;
    const Index rows = sums_each_row(g, i) ? g.nodes[g.in(i, 0)].shape.rows() : g.nodes[i].shape.rows();
    for (NodeId in : g.in(i)) {
      access(in, times[i], false);
      if (in_kernel && g.nodes[in].kernel != g.nodes[i].kernel && g.nodes[in].shape.rows() != rows)
        access(in, times[i], true);
    }
    if (runs[i]) access(i, times[i], true);
  }
  for (NodeId o : g.outputs) access(o, g.size(), false);
  for (const Effect& e : g.effects) access(e.value, g.size(), false);
}

/// Bytes of a row or value below which rows that are apart are gathered, and small values stay together.
inline constexpr Index least_bytes = 512;

/// Calls f(value, operand) for what each kernel writes and each operand of it that has the same elements, both in
/// buffers.
template <class F>
void for_each_pair(const Graph& g, const Layout& layout, F&& f) {
  const std::vector<NodeId> times = step_times(g);
  const auto in_buffer = [&](NodeId i) {
    return layout.places[i].base == Base::buffer &&
           g.nodes[i].shape.size() * static_cast<Index>(size_of(g.nodes[i].dtype)) >= least_bytes;
  };
  std::vector<NodeId> operands;
  for (NodeId begin = 0; begin < g.size(); ++begin) {
    const std::uint32_t kernel = g.nodes[begin].kernel;
    if (kernel == no_kernel) continue;
    const NodeId end = times[begin] + 1;
    operands.clear();
    for (NodeId i = begin; i < end; ++i)
      for (NodeId x : g.in(i))
        if (g.nodes[x].kernel != kernel && in_buffer(x)) operands.push_back(x);
    std::sort(operands.begin(), operands.end());
    operands.erase(std::unique(operands.begin(), operands.end()), operands.end());
    for (NodeId i = begin; i < end; ++i)
      for (NodeId x : operands) {
        const Shape &a = g.nodes[i].shape, &b = g.nodes[x].shape;
        if (!in_buffer(i)) break;
        if (a.rows() == b.rows() && a.cols() == b.cols() && g.nodes[i].dtype == g.nodes[x].dtype) f(i, x);
      }
    begin = end - 1;
  }
}

}  // namespace rw::ir
