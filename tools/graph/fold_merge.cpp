#include <map>
#include <tuple>

#include <rewind/tools/graph/fold_parts.h>

namespace rw::detail {
namespace {

/// By node: how many arrows leave it.
std::vector<std::uint32_t> count_uses(const GraphView& view) {
  std::vector<std::uint32_t> uses(view.nodes.size());
  for (const GraphNode& n : view.nodes)
    for (const GraphEdge& e : n.in) ++uses[e.from];
  return uses;
}

bool only_reshapes(const GraphView& view, const GraphNode& n, const std::vector<std::uint32_t>& uses) {
  if (!n.view || n.in.size() != 1 || n.in[0].delay != 0 || !n.in[0].label.empty()) return false;
  const GraphNode& from = view.nodes[n.in[0].from];
  return from.role == GraphRole::op && n.role == GraphRole::op && from.shape.size() == n.shape.size() &&
         from.scope == n.scope && from.backward == n.backward && uses[n.in[0].from] == 1;
}

/// Adds what `n` says to the node it is drawn with.
void absorb(GraphNode& into, const GraphNode& n) {
  into.op += ", " + n.op;
  into.shape = n.shape;
  into.bytes += n.bytes;
  into.needs_grad = n.needs_grad;
}

}  // namespace

GraphView merge_views(const GraphView& view) {
  const std::vector<std::uint32_t> uses = count_uses(view);
  using Number = std::tuple<std::uint32_t, std::uint64_t, std::string, std::string, bool>;
  std::map<Number, std::uint32_t> numbers;
  GraphView out{.nodes = {}, .scopes = view.scopes, .folded = view.folded};
  std::vector<std::uint32_t> at(view.nodes.size());
  for (std::size_t i = 0; i < view.nodes.size(); ++i) {
    const GraphNode& n = view.nodes[i];
    at[i] = static_cast<std::uint32_t>(out.nodes.size());
    if (only_reshapes(view, n, uses)) {
      at[i] = at[n.in[0].from];
      absorb(out.nodes[at[i]], n);
      continue;
    }
    if (n.role == GraphRole::constant && !n.attributes.empty()) {
      const auto [known, fresh] =
          numbers.emplace(Number(n.scope, n.kind, n.attributes, n.shape.str(), n.backward), at[i]);
      at[i] = known->second;
      if (!fresh) continue;
    }
    out.nodes.push_back(n);
  }
  for (GraphNode& n : out.nodes)
    for (GraphEdge& e : n.in) e.from = at[e.from];
  return out;
}

}  // namespace rw::detail
