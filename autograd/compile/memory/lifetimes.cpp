#include <algorithm>
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
  // the whole stretch.
  struct Span {
    NodeId first = no_node, last = 0;
    void add(NodeId from, NodeId to) {
      first = std::min(first, from);
      last = std::max(last, to);
    }
  };
  std::vector<Span> stretches(1);
  for (NodeId i = 0; i < n; ++i) {
    const std::size_t stretch = g.nodes[i].lane / 16;
    if (stretches.size() <= stretch) stretches.resize(stretch + 1);
    stretches[stretch].add(i, i);
  }
  std::vector<Span> whole(layout.buffers.size());
  std::vector<std::uint32_t> only(layout.buffers.size(), no_kernel);  // the lane that uses it; 0: several
  const auto touch_buffer = [&](std::uint32_t id, NodeId from, NodeId to, std::uint32_t lane) {
    Layout::Buffer& b = layout.buffers[id];
    b.first = std::min(b.first, from);
    b.last = std::max(b.last, to);
    only[id] = only[id] == no_kernel || only[id] == lane ? lane : 0;
    const Span& stretch = stretches[lane / 16];
    whole[id].add(lane == 0 ? from : stretch.first, lane == 0 ? to : stretch.last);
  };
  const auto touch = [&](NodeId value, NodeId from, NodeId to, std::uint32_t lane) {
    if (layout.places[value].base == Base::buffer) touch_buffer(layout.places[value].id, from, to, lane);
  };
  for (NodeId i = 0; i < n; ++i) {
    const std::uint32_t lane = g.nodes[i].lane;
    touch(i, begin[i], end[i], lane);
    for (NodeId in : g.in(i)) touch(in, end[i], end[i], lane);
  }
  for (const Layout::Pack& p : layout.packs) touch_buffer(p.to.id, p.node, p.node, g.nodes[p.node].lane);
  for (NodeId o : g.outputs) touch(o, n, n, 0);
  for (const Effect& e : g.effects) touch(e.value, n, n, 0);
  for (std::size_t id = 0; id < only.size(); ++id) {
    Layout::Buffer& b = layout.buffers[id];
    b.lane = only[id] == no_kernel ? 0 : only[id] % 16;
    if (b.lane == 0) b.first = whole[id].first, b.last = whole[id].last;
  }
}

}  // namespace rw::ir
