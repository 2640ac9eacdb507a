#include <algorithm>

#include <rewind/autograd/compile/memory/buffer_uses.h>
#include <rewind/autograd/compile/plan/lane_needs.h>

namespace rw::ir {
namespace {

class NeedFinder {
 public:
  NeedFinder(const Graph& g, const Layout& layout, std::span<const LaneUnit> units)
      : g_(g), layout_(layout), units_(units), copied_(g.size()) {
    for (const LaneUnit& u : units) lanes_ = std::max<std::size_t>(lanes_, u.lane + 1);
    needs_.resize(units.size() * lanes_);
    for (const Layout::Copy& c : layout.copies) copied_[c.concat] = true;
  }

  std::vector<std::uint32_t> run(std::span<const std::pair<std::uint32_t, std::uint32_t>> after) {
    find_uses();
    for (std::size_t begin = 0; begin < uses_.size();) {
      std::size_t end = begin + 1;
      while (end < uses_.size() && uses_[end].buffer == uses_[begin].buffer) ++end;
      look_at(std::span(uses_).subspan(begin, end - begin));
      begin = end;
    }
    for (const auto& [step, needed] : after)
      if (const std::size_t u = unit_of(needed); u < units_.size())
        need(unit_of(step), static_cast<std::uint32_t>(u + 1));
    return std::move(needs_);
  }

 private:
  struct Use {
    std::uint32_t buffer, unit;
    NodeId value;
    bool write;
  };

  // Those of memory that several lanes use, by buffer and unit.
  void find_uses() {
    for (std::uint32_t u = 0; u < units_.size(); ++u) {
      for (NodeId i = units_[u].begin; i < units_[u].end; ++i) {
        const bool runs = layout_.computed[i] || copied_[i];
        if (!runs && g_.nodes[i].kernel == no_kernel) continue;
        for (NodeId in : g_.in(i)) add(in, u, false);
        if (runs) add(i, u, true);
      }
    }
    std::stable_sort(uses_.begin(), uses_.end(), [](const Use& a, const Use& b) { return a.buffer < b.buffer; });
  }

  void add(NodeId value, std::uint32_t unit, bool write) {
    const Place& p = layout_.places[value];
    if (p.base == Base::buffer && layout_.buffers[p.id].lane == 0 && g_.nodes[value].shape.size() > 0)
      uses_.push_back({p.id, unit, value, write});
  }

  std::size_t unit_of(std::uint32_t step) const {
    const auto at =
        std::partition_point(units_.begin(), units_.end(), [&](const LaneUnit& u) { return u.last <= step; });
    return at == units_.end() || at->first > step ? units_.size() : static_cast<std::size_t>(at - units_.begin());
  }

  void need(std::size_t unit, std::uint32_t other) {
    if (other == 0 || units_[other - 1].lane == units_[unit].lane) return;
    std::uint32_t& n = needs_[unit * lanes_ + units_[other - 1].lane];
    n = std::max(n, other);
  }

  // The common distance of rows, 0 if nobody uses several rows that are apart; -1 if there is none.
  Index stride_of(std::span<const Use> uses) const {
    Index stride = 0;
    for (const Use& u : uses) {
      const Shape& shape = g_.nodes[u.value].shape;
      const Index own = layout_.places[u.value].stride;
      if (shape.rows() <= 1 || own == shape.cols()) continue;
      if (stride != 0 && stride != own) return -1;
      stride = own;
    }
    for (const Use& u : uses) {
      const Part p = part_of(u.value, stride);
      if (stride != 0 && p.col + p.cols > stride) return -1;
    }
    return stride;
  }

  Part part_of(NodeId value, Index stride) const {
    const Shape& shape = g_.nodes[value].shape;
    const Place& p = layout_.places[value];
    if (stride <= 0)  // gaps between rows count as well
      return {0, 1, p.offset, shape.rows() <= 1 ? shape.size() : (shape.rows() - 1) * p.stride + shape.cols()};
    const Index row = p.offset / stride, col = p.offset % stride;
    if (shape.rows() > 1 && p.stride != shape.cols()) return {row, shape.rows(), col, shape.cols()};
    if (col == 0 && shape.size() % stride == 0) return {row, shape.size() / stride, 0, stride};
    return {row, 1, col, shape.size()};
  }

  static std::size_t position(const std::vector<Index>& edges, Index at) {
    return static_cast<std::size_t>(std::lower_bound(edges.begin(), edges.end(), at) - edges.begin());
  }

  // One buffer: cells between the edges of all parts know who read and wrote them last in each lane.
  void look_at(std::span<const Use> uses) {
    const Index stride = stride_of(uses);
    std::vector<Part> parts;
    std::vector<Index> rows, cols;
    for (const Use& u : uses) {
      const Part p = part_of(u.value, stride);
      rows.insert(rows.end(), {p.row, p.row + p.rows});
      cols.insert(cols.end(), {p.col, p.col + p.cols});
      parts.push_back(p);
    }
    for (std::vector<Index>* edges : {&rows, &cols}) {
      std::sort(edges->begin(), edges->end());
      edges->erase(std::unique(edges->begin(), edges->end()), edges->end());
    }
    if (rows.size() * cols.size() > 64 * uses.size()) {  // no grid: whole rows, to be on the safe side
      for (Part& p : parts) p.col = 0, p.cols = 1;
      cols = {0, 1};
    }
    std::vector<std::uint32_t> wrote(rows.size() * cols.size() * lanes_), read(wrote.size());
    for (std::size_t k = 0; k < uses.size(); ++k) {
      const Part& p = parts[k];
      const std::size_t unit = uses[k].unit, lane = units_[unit].lane;
      const std::size_t left = position(cols, p.col), right = position(cols, p.col + p.cols);
      for (std::size_t r = position(rows, p.row); r < position(rows, p.row + p.rows); ++r)
        for (std::size_t c = left; c < right; ++c) {
          const std::size_t cell = (r * cols.size() + c) * lanes_;
          for (std::size_t other = 0; other < lanes_; ++other) {
            need(unit, wrote[cell + other]);
            if (uses[k].write) need(unit, read[cell + other]);
          }
          (uses[k].write ? wrote : read)[cell + lane] = uses[k].unit + 1;
        }
    }
  }

  const Graph& g_;
  const Layout& layout_;
  std::span<const LaneUnit> units_;
  std::size_t lanes_ = 0;
  std::vector<bool> copied_;
  std::vector<Use> uses_;
  std::vector<std::uint32_t> needs_;
};

}  // namespace

std::vector<std::uint32_t> lane_needs(const Graph& g, const Layout& layout, std::span<const LaneUnit> units,
                                      std::span<const std::pair<std::uint32_t, std::uint32_t>> after) {
  return NeedFinder(g, layout, units).run(after);
}

}  // namespace rw::ir
