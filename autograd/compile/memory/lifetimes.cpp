#include <algorithm>
#include <optional>
#include <vector>

#include <rewind/autograd/compile/memory/layout.h>

namespace rw::ir {

void find_lifetimes(const Graph& g, Layout& layout) {
  // Nodes of one kernel run at once: they count as its last one for what they read, as its first for what they write.
  const NodeId n = g.size();
  std::vector<NodeId> begin(n), end(n);
  for (NodeId i = 0; i < n; ++i) {
    const std::uint32_t k = g.nodes[i].kernel;
    begin[i] = k != no_kernel && i > 0 && g.nodes[i - 1].kernel == k ? begin[i - 1] : i;
  }
  for (NodeId i = n; i-- > 0;) {
    const std::uint32_t k = g.nodes[i].kernel;
    end[i] = k != no_kernel && i + 1 < n && g.nodes[i + 1].kernel == k ? end[i + 1] : i;
  }
  // Lanes run at a time: what one of them uses alone is its own as long as it uses it; all else is alive during
  // the whole section.
  struct Span {
    NodeId first = no_node, last = 0;
    void add(NodeId from, NodeId to) {
      first = std::min(first, from);
      last = std::max(last, to);
    }
  };
  std::vector<Span> sections(1);
  for (NodeId i = 0; i < n; ++i) {
    const std::size_t section = g.nodes[i].lane.section;
    if (sections.size() <= section) sections.resize(section + 1);
    sections[section].add(i, i);
  }
  std::vector<Span> whole(layout.buffers.size());
  std::vector<std::optional<Lane>> only(layout.buffers.size());  // the lane that uses it; none: several
  const auto touch_buffer = [&](std::uint32_t id, NodeId from, NodeId to, Lane lane) {
    Layout::Buffer& b = layout.buffers[id];
    b.first = std::min(b.first, from);
    b.last = std::max(b.last, to);
    only[id] = only[id].value_or(lane) == lane ? lane : Lane();
    const bool in_lane = lane != Lane();
    const Span& section = sections[lane.section];
    whole[id].add(in_lane ? section.first : from, in_lane ? section.last : to);
  };
  const auto touch = [&](NodeId value, NodeId from, NodeId to, Lane lane) {
    if (layout.places[value].base == Base::buffer) touch_buffer(layout.places[value].id, from, to, lane);
  };
  for (NodeId i = 0; i < n; ++i) {
    const Lane lane = g.nodes[i].lane;
    touch(i, begin[i], end[i], lane);
    for (NodeId in : g.in(i)) touch(in, end[i], end[i], lane);
  }
  for (const Layout::ContiguousInput& p : layout.contiguous_inputs)
    touch_buffer(p.to.id, p.node, p.node, g.nodes[p.node].lane);
  for (NodeId o : g.outputs) touch(o, n, n, Lane());
  for (const Effect& e : g.effects) touch(e.value, n, n, Lane());
  for (std::size_t id = 0; id < only.size(); ++id) {
    Layout::Buffer& b = layout.buffers[id];
    b.lane = only[id].value_or(Lane()).number;
    if (b.lane == 0) b.first = whole[id].first, b.last = whole[id].last;
  }
}

}  // namespace rw::ir
