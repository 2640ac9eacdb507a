#include <algorithm>
#include <cctype>
#include <cmath>
#include <unordered_map>

#include <rewind/autograd/structural.h>
#include <rewind/core/error.h>
#include <rewind/tools/graph/parameter_labels.h>
#include <rewind/tools/graph/view.h>

namespace rw {
namespace {

GraphRole role_of(const Node& node) {
  switch (node.role) {
    case Role::parameter: return GraphRole::parameter;
    case Role::input: return GraphRole::input;
    case Role::constant: return GraphRole::constant;
    default: return GraphRole::op;
  }
}

/// Ids come from where a node stands (scope and op) and a count among its like, never from its position on the tape, so
/// that a change in one place leaves the ids of all others alone.
class Ids {
 public:
  std::string next(const std::string& scope, std::string_view what) {
    std::string base;
    for (std::string_view part : {std::string_view(scope), what}) {
      for (char c : part) base += std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
      if (!part.empty()) base += '_';
    }
    if (base.empty() || std::isdigit(static_cast<unsigned char>(base[0])) != 0) base.insert(0, "n_");
    return base + std::to_string(++count_[base]);
  }

 private:
  std::unordered_map<std::string, int> count_;
};

/// Scopes by path: one that is opened again is the same box. Fills `at`: from the tape's scopes to the view's.
void add_scopes(const Tape& tape, GraphView& view, std::vector<std::uint32_t>& at, std::vector<std::string>& paths) {
  std::uint32_t last = 0;
  for (NodeId i = 0; i < tape.size(); ++i) last = std::max(last, tape.node(i).scope);
  std::unordered_map<std::string, std::uint32_t> known;
  view.scopes.resize(1);
  paths.resize(1);
  at.resize(last + 1);
  for (std::uint32_t s = 1; s <= last; ++s) {
    const std::uint32_t parent = at[tape.scope_parent(s)];
    std::string path = tape.scope_path(s);
    const auto [entry, fresh] = known.emplace(path, static_cast<std::uint32_t>(view.scopes.size()));
    at[s] = entry->second;
    if (!fresh) continue;
    view.scopes.push_back({.name = path.substr(parent == 0 ? 0 : paths[parent].size() + 1), .parent = parent});
    paths.push_back(std::move(path));
  }
}

/// The innermost box around two, and the box without time steps around one.
std::uint32_t common_scope(const GraphView& view, std::uint32_t a, std::uint32_t b) {
  while (a != b) (a > b ? a : b) = view.scopes[a > b ? a : b].parent;  // parents come first
  return a;
}
std::uint32_t layer_of(const GraphView& view, std::uint32_t scope) {
  std::uint32_t layer = scope;
  for (std::uint32_t s = scope; s != 0; s = view.scopes[s].parent)
    if (view.scopes[s].name.find('=') != std::string::npos) layer = view.scopes[s].parent;
  return layer;
}

GraphNode draw(const Tape& tape, NodeId id, const GraphViewOptions& options) {
  const Node& n = tape.node(id);
  GraphNode out;
  out.op = n.info->name;
  if (n.info->describe != nullptr && n.role != Role::parameter) out.attributes = n.info->describe(n.op);
  out.shape = n.shape;
  out.dtype = n.dtype;
  out.role = role_of(n);
  out.backward = n.origin != no_node;
  out.needs_grad = n.needs_grad;
  out.view = n.info->alias != nullptr;
  out.scope = n.scope;
  out.kind = reinterpret_cast<std::uintptr_t>(n.info);
  out.node = id;
  out.bytes = n.owns_data ? static_cast<std::size_t>(n.shape.size()) * size_of(n.dtype) : 0;
  if (options.statistics && n.data != nullptr) out.value = statistics(n.value());
  if (options.statistics && tape.has_grad(tape.tensor(id))) out.gradient = statistics(tape.grad(tape.tensor(id)));
  return out;
}

/// Numbers such as a state of zeros are drawn in the layer that alone uses them.
void move_numbers(GraphView& view) {
  std::vector<std::uint32_t> users(view.nodes.size(), no_node);
  for (const GraphNode& n : view.nodes)
    for (const GraphEdge& e : n.in)
      users[e.from] = n.backward ? 0 : users[e.from] == no_node ? n.scope : common_scope(view, users[e.from], n.scope);
  for (std::size_t i = 0; i < view.nodes.size(); ++i) {
    GraphNode& n = view.nodes[i];
    if (n.role != GraphRole::constant || n.attributes.empty() || n.backward || users[i] == no_node) continue;
    const std::uint32_t layer = layer_of(view, users[i]);
    if (common_scope(view, layer, n.scope) == n.scope) n.scope = layer;
  }
}

/// The last forward scalar op that no forward node uses.
std::uint32_t find_loss(const GraphView& view) {
  std::vector<bool> used(view.nodes.size());
  for (const GraphNode& n : view.nodes)
    for (const GraphEdge& e : n.in)
      if (!n.backward) used[e.from] = true;
  for (std::size_t i = view.nodes.size(); i-- > 0;) {
    const GraphNode& n = view.nodes[i];
    if (n.role == GraphRole::op && !n.backward && !used[i] && n.shape.size() == 1 && n.needs_grad)
      return static_cast<std::uint32_t>(i);
  }
  return no_node;
}

}  // namespace

std::string GraphView::scope_path(std::uint32_t scope) const {
  std::string path;
  for (; scope != 0; scope = scopes[scope].parent)
    path = path.empty() ? scopes[scope].name : scopes[scope].name + "/" + path;
  return path;
}

std::size_t GraphView::edges() const {
  std::size_t n = 0;
  for (const GraphNode& node : nodes) n += node.in.size();
  return n;
}

GraphStatistics statistics(ConstView view) {
  GraphStatistics s{.known = true};
  const Array a = Array(view).to(DType::f64);
  double sum = 0, squares = 0;
  Index finite = 0;
  for (double x : a.span<double>()) {
    if (std::isnan(x)) {
      ++s.nans;
    } else if (std::isinf(x)) {
      ++s.infs;
    } else {
      s.min = finite == 0 ? x : std::min(s.min, x);
      s.max = finite == 0 ? x : std::max(s.max, x);
      sum += x;
      squares += x * x;
      ++finite;
    }
  }
  s.norm = std::sqrt(squares);
  s.mean = finite == 0 ? 0 : sum / static_cast<double>(finite);
  return s;
}

GraphView graph_view(const Tape& tape, const GraphViewOptions& options) {
  if (tape.size() == 0) throw Error("graph_view: the tape is empty: record something first, and draw before clear()");
  const NodeId loss = options.loss.has_value() ? tape.id(*options.loss) : no_node;
  GraphView view;
  std::vector<std::string> paths;
  std::vector<std::uint32_t> scope_at;
  add_scopes(tape, view, scope_at, paths);
  Ids ids;
  detail::ParameterLabels labels;
  std::vector<std::uint32_t> position(tape.size(), no_node);
  view.nodes.reserve(tape.size());
  for (NodeId i = 0; i < tape.size(); ++i) {
    if (!options.backward && tape.node(i).origin != no_node) continue;
    GraphNode node = draw(tape, i, options);
    node.scope = scope_at[node.scope];
    if (node.role == GraphRole::parameter) {
      node.scope = layer_of(view, node.scope);  // not in the time step that used it first
      node.name = labels.of(*tape.parameter_of(tape.node(i)), paths[node.scope]);
      node.id = ids.next("parameter", node.name);
    } else {
      node.id = ids.next((node.backward ? "grad_" : "") + paths[node.scope], node.op);
    }
    for (NodeId from : tape.node(i).in()) node.in.push_back({.from = position[from], .delay = 0, .label = {}});
    position[i] = static_cast<std::uint32_t>(view.nodes.size());
    view.nodes.push_back(std::move(node));
  }
  move_numbers(view);
  const std::uint32_t marked = loss != no_node ? position[loss] : find_loss(view);
  if (marked != no_node) view.nodes[marked].role = GraphRole::loss;
  return view;
}

}  // namespace rw
