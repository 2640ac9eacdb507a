#include <algorithm>
#include <map>
#include <tuple>

#include <rewind/tools/graph/fold_parts.h>

namespace rw::detail {
namespace {

using Names = std::vector<std::string>;

Names words(const std::string& text) {
  Names out(1);
  for (char c : text) {
    if (c == ' ') {
      out.emplace_back();
    } else {
      out.back() += c;
    }
  }
  return out;
}

std::string merged_attributes(const GraphView& view, const GraphLoop& loop, Index c) {
  const std::string& first = view.nodes[loop.node(c, 0)].attributes;
  const std::string& last = view.nodes[loop.node(c, loop.steps - 1)].attributes;
  bool same = true;
  for (Index t = 1; t < loop.steps; ++t) same = same && view.nodes[loop.node(c, t)].attributes == first;
  if (same) return first;
  const Names a = words(first), b = words(last);
  if (a.size() != b.size() || first == last) return "varies";
  std::string out;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const std::size_t key = a[i].find('=') + 1;  // 0 when there is none
    const bool range = b[i].compare(0, key, a[i], 0, key) == 0;
    out += (i == 0 ? "" : " ") + (a[i] == b[i] ? a[i] : range ? a[i] + ".." + b[i].substr(key) : "varies");
  }
  return out;
}

void merge(GraphStatistics& into, const GraphStatistics& s, Index before) {
  if (!s.known) return;
  if (!into.known) {
    into = s;
    return;
  }
  const auto n = static_cast<double>(before);
  into.norm = std::max(into.norm, s.norm);
  into.mean = (into.mean * n + s.mean) / (n + 1);
  into.min = std::min(into.min, s.min);
  into.max = std::max(into.max, s.max);
  into.nans += s.nans;
  into.infs += s.infs;
}

Names names_of(const GraphView& view, std::uint32_t scope) {
  Names out;
  for (; scope != 0; scope = view.scopes[scope].parent) out.push_back(view.scopes[scope].name);
  std::reverse(out.begin(), out.end());
  return out;
}

/// The scopes of one class, without the numbers that differ from step to step.
struct ClassPath {
  Names names;
  std::size_t differs = max;  // the first that does
  static constexpr std::size_t max = ~std::size_t{0};
};

ClassPath class_path(const GraphView& view, const GraphLoop& loop, Index c) {
  ClassPath path{.names = names_of(view, view.nodes[loop.node(c, 0)].scope)};
  const Names second = names_of(view, view.nodes[loop.node(c, 1)].scope);
  for (std::size_t i = 0; i < std::min(path.names.size(), second.size()); ++i) {
    if (path.names[i] == second[i]) continue;
    path.names[i].resize(std::min(path.names[i].rfind('='), path.names[i].size()));
    path.differs = std::min(path.differs, i);
  }
  return path;
}

std::size_t common_length(const Names& a, const Names& b) {
  std::size_t n = 0;
  while (n < a.size() && n < b.size() && a[n] == b[n]) ++n;
  return n;
}

class ScopeFolder {
 public:
  ScopeFolder(const GraphView& view, GraphView& out) : view_(view), out_(out) { out.scopes.assign(1, view.scopes[0]); }

  std::uint32_t plain(std::uint32_t scope) {
    std::uint32_t s = 0;
    for (const std::string& name : names_of(view_, scope)) s = find(s, name, no_node, 1);
    return s;
  }

  void fold(const GraphLoop& loop, std::uint32_t number, std::vector<std::uint32_t>& scopes) {
    std::vector<ClassPath> paths;
    for (Index c = 0; c < loop.period; ++c) paths.push_back(class_path(view_, loop, c));
    std::size_t common = paths[0].names.size(), box = ClassPath::max;
    for (const ClassPath& p : paths) {
      common = std::min(common, common_length(p.names, paths[0].names));
      box = std::min(box, p.differs);
    }
    const bool has_box = box < common;
    if (!has_box) box = common;
    for (Index c = 0; c < loop.classes(); ++c) {
      Names names = paths[static_cast<std::size_t>(c < loop.period ? c : 0)].names;
      if (!has_box) names.insert(names.begin() + static_cast<std::ptrdiff_t>(box), "");
      std::uint32_t s = 0;
      for (std::size_t i = 0; i < names.size(); ++i)
        s = find(s, names[i], i < box ? no_node : number, i == box ? loop.steps : 1);
      scopes[loop.node(c, 0)] = s;
    }
  }

 private:
  std::uint32_t find(std::uint32_t parent, const std::string& name, std::uint32_t loop, Index times) {
    const auto [entry, fresh] =
        known_.emplace(std::tuple(parent, name, loop), static_cast<std::uint32_t>(out_.scopes.size()));
    if (fresh) out_.scopes.push_back({.name = name, .parent = parent, .times = times});
    return entry->second;
  }

  const GraphView& view_;
  GraphView& out_;
  std::map<std::tuple<std::uint32_t, std::string, std::uint32_t>, std::uint32_t> known_;
};

}  // namespace

std::vector<Place> places(const GraphView& view, const std::vector<GraphLoop>& loops) {
  std::vector<Place> out(view.nodes.size());
  for (std::uint32_t l = 0; l < loops.size(); ++l)
    for (Index c = 0; c < loops[l].classes(); ++c)
      for (Index t = 0; t < loops[l].steps; ++t) out[loops[l].node(c, t)] = {l, c, t};
  return out;
}

GraphNode merged_node(const GraphView& view, const GraphLoop& loop, Index c) {
  GraphNode node = view.nodes[loop.node(c, 0)];
  node.attributes = merged_attributes(view, loop, c);
  node.bytes = 0;
  node.value = node.gradient = {};
  for (Index t = 0; t < loop.steps; ++t) {
    const GraphNode& step = view.nodes[loop.node(c, t)];
    node.bytes += step.bytes;
    merge(node.value, step.value, t);
    merge(node.gradient, step.gradient, t);
    if (step.value.known) node.value_norms.push_back(step.value.norm);
    if (step.role == GraphRole::loss) node.role = GraphRole::loss;
  }
  return node;
}

std::vector<std::uint32_t> fold_scopes(const GraphView& view, const std::vector<GraphLoop>& loops,
                                       const std::vector<Place>& place, GraphView& out) {
  ScopeFolder folder(view, out);
  std::vector<std::uint32_t> scopes(view.nodes.size());
  for (std::uint32_t i = 0; i < view.nodes.size(); ++i) {
    if (place[i].loop == no_node) {
      scopes[i] = folder.plain(view.nodes[i].scope);
    } else if (place[i].c == 0 && place[i].t == 0) {
      folder.fold(loops[place[i].loop], place[i].loop, scopes);
    }
  }
  return scopes;
}

}  // namespace rw::detail
