#include <algorithm>

#include <rewind/autograd/program/places.h>

namespace rw::ir {

Places::Places(const Program& p) : p_(p), loops_(p.ops.size()), op_at_(p.nodes - p.leaves.size()) {
  std::vector<std::uint32_t> loops;
  add_items(0, p.items.size(), loops);
}

void Places::add_items(std::size_t at, std::size_t end, std::vector<std::uint32_t>& loops) {
  for (; at < end; ++at) {
    const ProgramItem& item = p_.items[at];
    if (item.steps == 0) {
      loops_[item.op] = loops;
      add_op(item.op);
      continue;
    }
    loops.push_back(static_cast<std::uint32_t>(at));
    add_items(at + 1, at + 1 + item.size, loops);
    loops.pop_back();
    at += item.size;
  }
}

void Places::add_op(std::uint32_t op) {
  each_step(p_.ops[op], [&](const PerLoop& t) { op_at_[static_cast<std::size_t>(position_at(p_.ops[op], t))] = op; });
}

Source Places::at_position(std::int32_t at) const {
  if (at < 0) return {.op = no_entry, .leaf = -1 - at, .steps = {}};
  Source place{.op = op_at_[static_cast<std::size_t>(at)], .leaf = -1, .steps = {}};
  const ProgramOp& op = p_.ops[place.op];
  std::int32_t rest = at - op.at;
  for (std::uint32_t j = op.depth; j-- > 0; rest %= op.size[j]) place.steps.push_back({.first = rest / op.size[j]});
  return place;
}

Source Places::of_node(NodeId id) const {
  const auto leaf = std::lower_bound(p_.leaves.begin(), p_.leaves.end(), id,
                                     [](const SharedLeaf& l, NodeId node) { return l.id < node; });
  const auto before = static_cast<std::int32_t>(leaf - p_.leaves.begin());
  const bool is_leaf = leaf != p_.leaves.end() && leaf->id == id;
  return at_position(is_leaf ? -1 - before : static_cast<std::int32_t>(id) - before);
}

std::optional<Source> Places::of(std::uint32_t reader, const Read& r, std::int32_t further, std::int32_t after) const {
  const ProgramOp& by = p_.ops[reader];
  Range range;
  std::int32_t at = r.first + further;
  bool moves = false;
  for (std::uint32_t l = 0; l < by.depth; ++l) {
    range.low[l] = std::max(r.start[l] != no_entry ? 1 : 0, l == 0 ? after : 0);
    range.high[l] = by.steps[l] - 1;
    at += r.per[l] * range.low[l];
    moves = moves || r.per[l] != 0;
  }
  if (at < 0 ? moves : static_cast<std::size_t>(at) >= op_at_.size()) return std::nullopt;
  Source found = at_position(at);
  for (std::uint32_t l = 0; found.op != no_entry && l < by.depth; ++l)
    if (!add_term(found, r.per[l], l, range)) return std::nullopt;
  return found.op == no_entry || in_range(found, by, range) ? std::optional(found) : std::nullopt;
}

/// `per` positions with each step of loop l, as steps of the loops around the place.
bool Places::add_term(Source& place, std::int32_t per, std::uint32_t l, const Range& range) const {
  const ProgramOp& op = p_.ops[place.op];
  for (std::uint32_t j = op.depth; j-- > 0; per %= op.size[j]) {
    Linear& step = place.steps[op.depth - 1 - j];
    step.per[l] = per / op.size[j];
    step.first -= step.per[l] * range.low[l];
  }
  return per == 0;
}

bool Places::in_range(const Source& place, const ProgramOp& reader, const Range& range) const {
  const ProgramOp& op = p_.ops[place.op];
  for (std::uint32_t j = 0; j < op.depth; ++j) {
    const Linear& step = place.steps[op.depth - 1 - j];
    Index least = step.first, most = step.first;
    for (std::uint32_t l = 0; l < reader.depth; ++l) {
      least += std::min(step.per[l] * range.low[l], step.per[l] * range.high[l]);
      most += std::max(step.per[l] * range.low[l], step.per[l] * range.high[l]);
    }
    if (least < 0 || most >= op.steps[j]) return false;
  }
  return true;
}

}  // namespace rw::ir
