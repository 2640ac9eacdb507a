#include <cstring>

#include <rewind/autograd/program/program.h>

namespace rw::ir {
namespace {

/// Writes the steps of all loops, one after the other.
class Unfolder {
 public:
  explicit Unfolder(const Program& p) : p_(p) {
    g_.real = p.real;
    g_.store = p.store;
    g_.outputs = p.outputs;
    g_.effects = p.effects;
    g_.nodes.reserve(p.nodes);
    node_at_.reserve(p.nodes);
  }

  Graph run() {
    steps(0, p_.items.size(), 0);
    leaves();
    return std::move(g_);
  }

 private:
  // The items from `at` on, within `depth` loops.
  void steps(std::size_t at, std::size_t end, std::uint32_t depth) {
    for (; at < end; ++at) {
      const ProgramItem& item = p_.items[at];
      if (item.steps == 0) {
        op(p_.ops[item.op]);
        continue;
      }
      auto& t = t_.at(depth);
      for (t = 0; t < item.steps; ++t) steps(at + 1, at + 1 + item.size, depth + 1);
      at += item.size;
    }
  }

  // Shared leaves that stand here.
  void leaves() {
    while (leaf_ < p_.leaves.size() && p_.leaves[leaf_].id == g_.size()) g_.append(p_.leaves[leaf_++].node, {});
  }

  /// The number of the step of the loop that is the l-th around an op, from the innermost on.
  std::int32_t t(const ProgramOp& op, std::uint32_t l) const { return t_[op.depth - 1 - l]; }

  void op(const ProgramOp& op) {
    leaves();
    Node n = op.node;
    std::uint64_t scope = n.scope;
    std::size_t free = op.scopes;
    for (std::uint32_t l = 0, times = 1; l < op.depth; ++l) {
      scope += static_cast<std::uint64_t>(std::int64_t{op.scope[l]} * t(op, l));
      free += static_cast<std::size_t>(t(op, l)) * times;
      times *= static_cast<std::uint32_t>(op.steps[l]);
    }
    n.scope = op.scopes == no_entry ? static_cast<std::uint32_t>(scope) : p_.scopes[free];
    n.op = attributes(op);
    inputs_.clear();
    for (std::uint32_t k = 0; k < op.node.arity; ++k) read(op, p_.reads[op.node.first + k]);
    node_at_.push_back(g_.append(n, inputs_));
  }

  const void* attributes(const ProgramOp& op) {
    PerLoop steps{};
    for (std::uint32_t l = 0; l < op.depth; ++l) steps[l] = t(op, l);
    const void* here = attributes_at(op, steps, words_);
    if (here == op.node.op) return here;
    void* copy = g_.store->attributes.allocate(op.node.info->attribute_size);
    std::memcpy(copy, here, op.node.info->attribute_size);
    return copy;
  }

  void read(const ProgramOp& op, const Read& r) {
    for (std::uint32_t l = op.depth; l-- > 0;)
      if (r.start[l] != no_entry && t(op, l) == 0) return read(op, p_.reads[r.start[l]]);
    std::int32_t at = r.first;
    for (std::uint32_t l = 0; l < op.depth; ++l) at += r.per[l] * t(op, l);
    for (std::int32_t k = 0; k < r.count; ++k, at += r.stride)
      inputs_.push_back(at < 0 ? p_.leaves[static_cast<std::size_t>(-at - 1)].id
                               : node_at_[static_cast<std::size_t>(at)]);
  }

  const Program& p_;
  Graph g_;
  std::array<std::int32_t, most_nested> t_{};  // the outermost loop first
  std::size_t leaf_ = 0;
  std::vector<NodeId> node_at_;  // by position
  std::vector<NodeId> inputs_;
  std::vector<std::uint64_t> words_;
};

}  // namespace

const void* attributes_at(const ProgramOp& op, const PerLoop& t, std::vector<std::uint64_t>& words) {
  bool first = true;
  for (std::uint32_t l = 0; l < op.depth; ++l) {
    if (op.attributes[l] == nullptr || t[l] == 0) continue;
    if (first) {
      words.assign((op.node.info->attribute_size + 7) / 8, 0);
      std::memcpy(words.data(), op.node.op, op.node.info->attribute_size);
    }
    first = false;
    const auto* more = static_cast<const std::uint64_t*>(op.attributes[l]);
    for (std::size_t k = 0; k < words.size(); ++k) words[k] += static_cast<std::uint64_t>(t[l]) * more[k];
  }
  return first ? op.node.op : words.data();
}

Graph unfold(const Program& p) { return Unfolder(p).run(); }

}  // namespace rw::ir
