#include <algorithm>

#include <fmt/format.h>

#include <rewind/autograd/program/folder.h>

namespace rw::ir {

Program Folder::finish() {
  Program p;
  p.real = g_.real;
  p.store = g_.store;
  p.nodes = g_.size();
  p.outputs = g_.outputs;
  p.effects = g_.effects;
  p.leaves = leaves_;
  for (const Item& item : items_) write(item, p);
  std::vector<NodeId> visited;
  for (const Failure& f : failures_) {
    const NodeId at = ops_[f.why.op].like;
    const bool folded = items_[item_at_[static_cast<std::size_t>(f.why.op)]].loop != no_entry;
    if (folded || std::find(visited.begin(), visited.end(), at) != visited.end() || visited.size() == 16) continue;
    visited.push_back(at);
    const std::string input = std::string_view(f.why.what) == "reads something else"
                                  ? fmt::format(" as input {}", f.why.input)
                                  : std::string();
    p.lists.push_back(
        {f.begin, f.end, f.period, fmt::format("node {}, {}, {}{}", at, g_.describe(at), f.why.what, input)});
  }
  return p;
}

void Folder::write(const Item& item, Program& p) const {
  if (item.loop == no_entry) {
    p.items.push_back({.steps = 0, .size = 0, .op = static_cast<std::uint32_t>(p.ops.size())});
    write_op(item.op, p);
    return;
  }
  const Loop& loop = loops_[item.loop];
  const std::size_t at = p.items.size();
  p.items.push_back({.steps = loop.steps, .size = 0, .op = no_entry, .carries = loop.carries});
  for (const Item& part : loop.body) write(part, p);
  p.items[at].size = static_cast<std::uint32_t>(p.items.size() - at - 1);
}

void Folder::write_op(std::uint32_t id, Program& p) const {
  const Rule& op = rule(id);
  ProgramOp to{.node = node(id), .at = static_cast<std::int32_t>(id), .depth = op.depth};
  to.size = op.size;
  to.steps = op.steps;
  to.scope = op.scope;
  std::copy(op.attributes.begin(), op.attributes.end(), to.attributes.begin());
  const auto first = static_cast<std::uint32_t>(p.reads.size());
  const auto starts = [](const Read& r) { return r.start != Read().start; };
  for (std::uint32_t k = 0; k < to.node.arity; ++k) {
    const Read& r = reads_[ops_[id].reads + k];
    Read* last = p.reads.size() > first ? &p.reads.back() : nullptr;
    const bool joins = last != nullptr && !starts(r) && !starts(*last) && r.per == last->per && r.first >= 0 &&
                       (last->count == 1 || r.first - last->first == last->stride * last->count);
    if (!joins) {
      p.reads.push_back(r);
      continue;
    }
    if (last->count == 1) last->stride = r.first - last->first;
    ++last->count;
  }
  to.node.first = first;
  to.node.arity = static_cast<std::uint32_t>(p.reads.size() - first);
  for (std::size_t i = first; i < p.reads.size(); ++i)  // and those of first steps, after them
    for (std::size_t l = 0; l < most_nested; ++l) {
      if (p.reads[i].start[l] == no_entry) continue;
      const Read start = reads_[p.reads[i].start[l]];
      p.reads[i].start[l] = static_cast<std::uint32_t>(p.reads.size());
      p.reads.push_back(start);
    }
  if (op.free_scope) free_scopes(to, p);
  p.ops.push_back(to);
}

void Folder::free_scopes(ProgramOp& to, Program& p) const {
  to.scopes = static_cast<std::uint32_t>(p.scopes.size());
  each_step(to, [&](const PerLoop& t) {
    p.scopes.push_back(g_.nodes[node_at_[static_cast<std::size_t>(position_at(to, t))]].scope);
  });
}

Program fold(const Graph& g) { return Folder(g).run(); }

std::string explain(const Program& p) {
  std::string out;
  for (const Unfolded& u : p.lists)
    out += fmt::format("nodes {} to {} repeat {} ops and stay a list: {}\n", u.begin, u.end, u.period, u.why);
  return out;
}

}  // namespace rw::ir
