#include <algorithm>

#include <rewind/autograd/compile/memory/buffer_uses.h>

namespace rw::ir {

void Uses::find_parts(const Graph& g, const Layout& layout, std::size_t bytes) {
  parts_.clear();
  rows_.clear();
  whole_.clear();
  stride_ = 0;
  for (const Access& a : accesses) {
    const Shape& shape = g.nodes[a.value].shape;
    const Index stride = layout.places[a.value].stride;
    if (shape.rows() <= 1 || stride == shape.cols()) continue;
    regular_ = regular_ && (stride_ == 0 || stride_ == stride);
    stride_ = stride;
  }
  for (const Access& a : accesses) {
    const Part part = part_of(g, layout, a.value);
    const std::size_t size = static_cast<std::size_t>(part.rows * part.cols) * size_of(g.nodes[a.value].dtype);
    regular_ = regular_ && (stride_ == 0 || part.col + part.cols <= stride_);
    Event& event = (size >= bytes ? whole_ : parts_[part])[a.time];
    (a.write ? event.write : event.read) = true;
    last_ = std::max(last_, a.time);
  }
  has_parts_ = !parts_.empty();
  forget_overlapping();
}

Part Uses::part_of(const Graph& g, const Layout& layout, NodeId value) const {
  const Shape& shape = g.nodes[value].shape;
  const Place& p = layout.places[value];
  if (stride_ == 0) return {0, 1, p.offset, shape.size()};
  const Index row = p.offset / stride_, col = p.offset % stride_;
  if (shape.rows() > 1 && p.stride != shape.cols()) return {row, shape.rows(), col, shape.cols()};
  if (col == 0 && shape.size() % stride_ == 0) return {row, shape.size() / stride_, 0, stride_};
  return {row, 1, col, shape.size()};
}

bool Uses::ends(const Part& part, NodeId time) const {
  const auto at = parts_.find(part);
  if (!regular_ || at == parts_.end()) return false;
  for (const Events* around : {&whole_, rows_around(part)})
    if (!around->empty() && around->rbegin()->first >= time) return false;
  const auto& [last, event] = *at->second.rbegin();
  return last < time || (last == time && !event.write);
}

bool Uses::free(const Part& part, NodeId time, NodeId until, bool kernel_at_end) const {
  const auto at = parts_.find(part);
  if (!regular_ || at == parts_.end()) return false;
  const auto now = at->second.find(time);
  if (now == at->second.end() || now->second.write) return false;
  for (const Events* around : {&whole_, rows_around(part)}) {
    if (around->contains(time)) return false;
    // Read before it is written again: what stood there is needed.
    const auto next = around->upper_bound(time), own = std::next(now);
    if (next != around->end() && (own == at->second.end() || next->first <= own->first) &&
        (next->second.read || next->first <= until))
      return false;
  }
  const auto next = std::next(now);
  if (next == at->second.end()) return true;
  return !next->second.read && (next->first > until || (next->first == until && kernel_at_end));
}

void Uses::add(const Part& part, const Uses& other) {
  if (other.has_parts_) {
    parts_.erase(part);
    return;
  }
  for (const auto& [time, event] : other.whole_) {
    Event& mine = parts_[part][time];
    mine.read = mine.read || event.read;
    mine.write = mine.write || event.write;
  }
}

const Events* Uses::rows_around(const Part& part) const {
  static const Events none;
  const auto at = rows_.find({part.row, part.rows});
  return at == rows_.end() ? &none : &at->second;
}

void Uses::forget_overlapping() {
  std::vector<Part> parts;
  for (const auto& [part, events] : parts_) parts.push_back(part);
  for (std::size_t i = 0; i < parts.size();) {
    std::size_t j = i;
    Index end = parts[i].row + parts[i].rows;
    bool equal_rows = true;
    for (; j < parts.size() && parts[j].row < end; ++j) {
      equal_rows = equal_rows && parts[j].row == parts[i].row && parts[j].rows == parts[i].rows;
      end = std::max(end, parts[j].row + parts[j].rows);
    }
    if (j - i > 1) sort_out(std::span(parts).subspan(i, j - i), equal_rows);
    i = j;
  }
}

void Uses::sort_out(std::span<const Part> parts, bool equal_rows) {
  Index column = 0;
  bool apart = equal_rows;
  for (const Part& part : parts) {
    if (part.cols == stride_) continue;
    apart = apart && part.col >= column;
    column = part.col + part.cols;
  }
  for (const Part& part : parts) {
    if (apart && part.cols == stride_) rows_[{part.row, part.rows}] = parts_[part];
    if (!apart || part.cols == stride_) parts_.erase(part);
  }
}

}  // namespace rw::ir
