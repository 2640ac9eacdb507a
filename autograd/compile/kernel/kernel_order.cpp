#include <algorithm>

#include <rewind/autograd/compile/kernel/combine.h>
#include <rewind/autograd/compile/kernel/kernel.h>
#include <rewind/autograd/compile/kernel/kernel_order.h>

namespace rw::ir {

KernelOrder::KernelOrder(const Graph& g, const std::vector<Place>& places, NodeId begin, NodeId end,
                         const std::vector<bool>& used_outside)
    : g_(g), begin_(begin), end_(end), used_outside_(used_outside), part_of_(end - begin, no_node) {
  combine();
  find_phases();
  put_in_order(places);
}

// Between two sums whole rows are then computed block by block, and the numbers that are broadcast over them are there.
void KernelOrder::find_phases() {
  phase_.assign(end_ - begin_, {});
  for (NodeId i = begin_; i < end_; ++i) {
    Phase& p = phase_[i - begin_];
    for (NodeId in : g_.in(i))
      if (inside(in)) p.sums_before = std::max(p.sums_before, phase(in).sums_before + (sums_each_row(g_, in) ? 1 : 0));
    if (sums_each_row(g_, i))
      p.kind = Phase::Kind::sums;
    else if (g_.nodes[i].shape.cols() > 1)
      p.kind = Phase::Kind::rows;
  }
}

Arithmetic KernelOrder::arithmetic(NodeId i) const {
  const Node& n = g_.nodes[i];
  if (n.info->elementwise != nullptr) return n.info->elementwise->arithmetic;
  return g_.is<AddN>(i) && n.arity == 2 ? Arithmetic::add : Arithmetic::none;
}

// What only a sum or product reads is computed in the same loop.
void KernelOrder::combine() {
  std::vector<std::uint32_t> uses(end_ - begin_);
  for (NodeId i = begin_; i < end_; ++i)
    if (!is_view(g_, i))
      for (NodeId in : g_.in(i))
        if (const NodeId x = through_views(in); inside(x)) ++uses[x - begin_];
  for (NodeId i = end_; i-- > begin_;) {
    if (!combines(arithmetic(i)) || part_of_[i - begin_] != no_node) continue;
    for (NodeId in : g_.in(i)) {
      const NodeId x = through_views(in);
      if (inside(x) && !used_outside_[x] && uses[x - begin_] == 1 && combines(arithmetic(x)) &&
          g_.nodes[x].shape.cols() == g_.nodes[i].shape.cols())
        part_of_[x - begin_] = i;
    }
  }
}

namespace {

bool same_place(const Place& p, const Place& q) {
  return p.base == Base::buffer && q.base == Base::buffer && p.id == q.id && p.offset == q.offset;
}

}  // namespace

// A result that has the place of an operand is written after the last read of it: at the end, if nothing here reads
// the result, or by a copy.
void KernelOrder::put_in_order(const std::vector<Place>& places) {
  std::vector<NodeId> results, last;
  for (NodeId i = begin_; i < end_; ++i)
    if (used_outside_[i] && !is_view(g_, i)) results.push_back(i);
  std::vector<std::pair<NodeId, NodeId>> over;  // result, reader of what it is written over
  std::vector<bool> read(end_ - begin_);
  for_each_read([&](NodeId reader, NodeId x) {
    if (inside(x)) read[x - begin_] = true;
    for (NodeId i : results)
      if (!inside(x) && same_place(places[i], places[x]) && (i != reader || g_.is<AddN>(i)))
        over.emplace_back(i, reader);
  });
  std::vector<bool> at_end(end_ - begin_), copied(end_ - begin_);
  for (bool changed = !over.empty(); changed;) {
    changed = false;
    for (const auto& [i, reader] : over) {
      if ((before(reader, i) && !at_end[reader - begin_]) || copied[i - begin_]) continue;
      const bool both_at_end = at_end[i - begin_] && at_end[reader - begin_] && !before(reader, i);
      if (at_end[i - begin_] && !both_at_end) continue;
      changed = true;
      (read[i - begin_] || both_at_end ? copied : at_end)[i - begin_] = true;
    }
  }
  for (NodeId i = begin_; i < end_; ++i) {
    if (is_view(g_, i) || part_of_[i - begin_] != no_node) continue;
    (at_end[i - begin_] ? last : order_).push_back(i);
    if (copied[i - begin_]) copied_.push_back(i);
  }
  const auto earlier = [this](NodeId a, NodeId b) { return before(a, b); };
  std::sort(order_.begin(), order_.end(), earlier);
  std::sort(last.begin(), last.end(), earlier);
  order_.insert(order_.end(), last.begin(), last.end());
  position_.assign(end_ - begin_, 0);
  for (std::size_t k = 0; k < order_.size(); ++k) position_[order_[k] - begin_] = static_cast<std::uint32_t>(k);
}

}  // namespace rw::ir
