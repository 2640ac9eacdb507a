#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include <rewind/autograd/program/graph.h>
#include <rewind/autograd/program/rewrite.h>
#include <rewind/core/error.h>

namespace rw::ir {

Graph Graph::like() const {
  Graph g;
  g.real = real;
  g.store = store;
  g.nodes.reserve(nodes.size());
  g.edges.reserve(edges.size());
  return g;
}

NodeId Graph::append(const Node& node, std::span<const NodeId> inputs) {
  Node n = node;
  n.first = static_cast<std::uint32_t>(edges.size());
  n.arity = static_cast<std::uint32_t>(inputs.size());
  // The inputs may be a range of `edges` itself.
  const std::size_t count = inputs.size();
  const bool own = !edges.empty() && inputs.data() >= edges.data() && inputs.data() < edges.data() + edges.size();
  const std::size_t at = own ? static_cast<std::size_t>(inputs.data() - edges.data()) : 0;
  edges.resize(edges.size() + count);
  std::copy_n(own ? edges.data() + at : inputs.data(), count, edges.data() + n.first);
  nodes.push_back(n);
  return size() - 1;
}

NodeId Graph::add(const OpInfo& info, const void* op, std::span<const NodeId> inputs, const Node& like) {
  Node n;
  n.info = &info;
  static constexpr char none = 0;
  n.op = &none;
  if (info.attribute_size > 0) {
    void* copy = store->attributes.allocate(info.attribute_size);
    std::memcpy(copy, op, info.attribute_size);
    n.op = copy;
  }
  n.scope = like.scope;
  n.backward = like.backward;
  n.dtype = info.any_dtype && !inputs.empty() ? nodes[inputs[0]].dtype : real;
  Shape few[8];
  std::vector<Shape> many(inputs.size() > 8 ? inputs.size() : 0);
  Shape* shapes = many.empty() ? few : many.data();
  for (std::size_t i = 0; i < inputs.size(); ++i) shapes[i] = nodes[inputs[i]].shape;
  n.shape = info.infer(n.op, {shapes, inputs.size()});
  return append(n, inputs);
}

NodeId Graph::fill(double value, const Shape& shape, const Node& like) {
  const Fill op{shape, value};
  const NodeId id = add(op, {}, like);
  nodes[id].role = Role::constant;
  return id;
}

std::string Graph::scope_path(std::uint32_t scope) const {
  std::vector<std::uint32_t> path;
  for (; scope != 0; scope = store->scopes[scope].parent) path.push_back(scope);
  std::string text;
  for (auto s = path.rbegin(); s != path.rend(); ++s) {
    const auto& entry = store->scopes[*s];
    const std::string& name = store->scope_names[entry.name];
    if (!text.empty()) text += "/";
    text += entry.number < 0 ? name : fmt::format("{}={}", name, entry.number);
  }
  return text;
}

std::string Graph::describe(NodeId id) const {
  const Node& n = nodes[id];
  const std::string path = scope_path(n.scope);
  return fmt::format("[{}] {}{}{}", n.info->name, n.shape.str(), path.empty() ? "" : " in " + path,
                     n.backward ? ", backward" : "");
}

std::vector<std::uint32_t> use_counts(const Graph& g) {
  std::vector<std::uint32_t> uses(g.size());
  for (NodeId i = 0; i < g.size(); ++i)
    for (NodeId in : g.in(i)) ++uses[in];
  for (NodeId i : g.outputs) ++uses[i];
  for (const Effect& e : g.effects) ++uses[e.value];
  return uses;
}

namespace {

// Nodes that must be emitted together: one kernel, or one node.
struct Units {
  explicit Units(const Graph& g) : of(g.size()) {
    std::vector<std::uint32_t> of_kernel;
    for (NodeId i = 0; i < g.size(); ++i) {
      const std::uint32_t k = g.nodes[i].kernel;
      if (k == no_kernel) {
        of[i] = count++;
        continue;
      }
      if (k >= of_kernel.size()) of_kernel.resize(k + 1, no_kernel);
      if (of_kernel[k] == no_kernel) of_kernel[k] = count++;
      of[i] = of_kernel[k];
    }
    start.assign(count + 1, 0);
    for (std::uint32_t u : of) ++start[u + 1];
    for (std::size_t u = 0; u < count; ++u) start[u + 1] += start[u];
    members.resize(g.size());
    std::vector<std::uint32_t> at(start.begin(), start.end() - 1);
    for (NodeId i = 0; i < g.size(); ++i) members[at[of[i]]++] = i;
  }
  std::vector<std::uint32_t> of, start;
  std::vector<NodeId> members;
  std::uint32_t count = 0;
};

std::vector<bool> live_nodes(const Graph& g) {
  std::vector<bool> live(g.size());
  std::vector<NodeId> stack(g.outputs);
  for (const Effect& e : g.effects) stack.push_back(e.value);
  while (!stack.empty()) {
    const NodeId i = stack.back();
    stack.pop_back();
    if (live[i]) continue;
    live[i] = true;
    for (NodeId in : g.in(i))
      if (!live[in]) stack.push_back(in);
  }
  return live;
}

class Sorter {
 public:
  explicit Sorter(const Graph& g) : g_(g), rewriter_(g), live_(live_nodes(g)), units_(g), state_(units_.count) {}

  Graph run() {
    for (NodeId i = 0; i < g_.size(); ++i)
      if (live_[i] && state_[units_.of[i]] != done) visit(units_.of[i]);
    return rewriter_.done_in_order();
  }

 private:
  enum State : char { fresh, open, done };
  struct Frame {
    std::uint32_t unit, member, input;
  };

  void visit(std::uint32_t root) {
    std::vector<Frame>& stack = stack_;
    stack.push_back({root, units_.start[root], 0});
    state_[root] = open;
    while (!stack.empty()) {
      Frame& f = stack.back();
      const std::uint32_t end = units_.start[f.unit + 1];
      bool descended = false;
      for (; f.member < end && !descended; ++f.member, f.input = 0) {
        const NodeId i = units_.members[f.member];
        if (!live_[i]) continue;
        const auto in = g_.in(i);
        while (f.input < in.size()) {
          const std::uint32_t u = units_.of[in[f.input++]];
          if (u == f.unit || state_[u] == done) continue;
          if (state_[u] == open) throw Error("compile: the graph has a cycle at " + g_.describe(i));
          state_[u] = open;
          stack.push_back({u, units_.start[u], 0});
          descended = true;
          break;
        }
        if (descended) break;
      }
      if (descended) continue;
      const std::uint32_t unit = stack.back().unit;
      stack.pop_back();
      emit(unit);
    }
  }

  void emit(std::uint32_t unit) {
    state_[unit] = done;
    for (std::uint32_t m = units_.start[unit]; m < units_.start[unit + 1]; ++m) {
      const NodeId i = units_.members[m];
      if (live_[i]) rewriter_.copy(i);
    }
  }

  const Graph& g_;
  Rewriter rewriter_;
  std::vector<bool> live_;
  Units units_;
  std::vector<char> state_;
  std::vector<Frame> stack_;
};

// Inputs first, and kernels in one piece: the order that a sort would give.
bool stands_in_order(const Graph& g) {
  std::vector<bool> begun;  // by kernel
  for (NodeId i = 0; i < g.size(); ++i) {
    for (const NodeId in : g.in(i))
      if (in >= i) return false;
    const std::uint32_t k = g.nodes[i].kernel;
    if (k == no_kernel || (i > 0 && g.nodes[i - 1].kernel == k)) continue;
    if (k >= begun.size()) begun.resize(k + 1);
    if (begun[k]) return false;
    begun[k] = true;
  }
  return true;
}

Graph without_dead(const Graph& g, const std::vector<bool>& live) {
  Rewriter rewriter(g);
  for (NodeId i = 0; i < g.size(); ++i)
    if (live[i]) rewriter.copy(i);
  return rewriter.done_in_order();
}

}  // namespace

Graph sorted(const Graph& g) { return stands_in_order(g) ? without_dead(g, live_nodes(g)) : Sorter(g).run(); }

Graph sorted(Graph&& g) {
  if (!stands_in_order(g)) return Sorter(g).run();
  const std::vector<bool> live = live_nodes(g);
  if (std::find(live.begin(), live.end(), false) == live.end()) return std::move(g);
  return without_dead(g, live);
}

void verify(const Graph& g) {
  const auto fail = [&](NodeId i, const std::string& why) {
    throw Error(fmt::format("compile: node {} is wrong: {}: {}", i, g.describe(i), why));
  };
  std::vector<Shape> shapes;
  for (NodeId i = 0; i < g.size(); ++i) {
    const Node& n = g.nodes[i];
    shapes.clear();
    for (NodeId in : g.in(i)) {
      if (in >= i) fail(i, fmt::format("its input {} does not come before it", in));
      shapes.push_back(g.nodes[in].shape);
    }
    if (!computes(*n.info)) {
      if (n.role == Role::op) fail(i, "an op without a value");
      if (n.role == Role::parameter && n.leaf >= g.store->parameters.size()) fail(i, "no such parameter");
      if (n.role == Role::constant && n.leaf >= g.store->constants.size()) fail(i, "no such constant");
    } else if (!(n.info->infer(n.op, shapes) == n.shape)) {
      fail(i, "its inputs give " + n.info->infer(n.op, shapes).str());
    }
  }
  for (NodeId o : g.outputs)
    if (o >= g.size()) throw Error("compile: an output is no node");
  for (const Effect& e : g.effects)
    if (e.value >= g.size() || !(g.nodes[e.value].shape == g.store->parameters[e.parameter]->value.shape()))
      throw Error("compile: a parameter's gradient is no node of its shape");
}

}  // namespace rw::ir
