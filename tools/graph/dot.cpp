#include <ostream>
#include <sstream>

#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/graphviz.hpp>
#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/tools/graph/dot.h>
#include <rewind/tools/graph/dot_colour.h>
#include <rewind/tools/graph/dot_text.h>
#include <rewind/tools/graph/fold.h>

namespace rw {
namespace {

using detail::dot_escape;

/// A vertex name that Boost prints as it is: our ids need no quotes, and its own test for that is a slow one.
struct PlainId {
  const std::string* text;
};
std::string escape_dot_string(const PlainId& id) { return *id.text; }

struct Vertex {
  const GraphNode* node = nullptr;
};
struct Arrow {
  const GraphEdge* edge = nullptr;
};
using DotGraph = boost::adjacency_list<boost::vecS, boost::vecS, boost::bidirectionalS, Vertex, Arrow>;

struct IdMap {
  using key_type = DotGraph::vertex_descriptor;
  using value_type = PlainId;
  using reference = PlainId;
  using category = boost::readable_property_map_tag;
  const DotGraph* graph;
};
PlainId get(const IdMap& map, DotGraph::vertex_descriptor v) { return {&(*map.graph)[v].node->id}; }

DotGraph boost_graph(const GraphView& view) {
  DotGraph graph(view.nodes.size());
  for (std::size_t i = 0; i < view.nodes.size(); ++i) {
    graph[i].node = &view.nodes[i];
    // What comes from the step before is written from reader to source and drawn backwards: Graphviz then puts the
    // source below its reader, as in a step, and keeps a place for the label.
    for (const GraphEdge& e : view.nodes[i].in)
      e.delay > 0 ? boost::add_edge(i, e.from, Arrow{&e}, graph) : boost::add_edge(e.from, i, Arrow{&e}, graph);
  }
  return graph;
}

/// The attributes of the picture and its boxes, printed before the nodes.
class Frame {
 public:
  Frame(const GraphView& view, const DotOptions& options) : view_(view), options_(options) {
    for (const GraphNode& n : view.nodes) backward_ = backward_ || n.backward;
    if (options.scopes) sort_into_boxes();
  }
  void operator()(std::ostream& out) const;

 private:
  struct Box {
    std::vector<const GraphNode*> nodes;
    std::vector<std::uint32_t> boxes;
    bool used = false;
  };
  void sort_into_boxes();
  void open(std::ostream& out, std::uint32_t box) const;

  const GraphView& view_;
  const DotOptions& options_;
  bool backward_ = false;
  std::vector<Box> boxes_;  // of scope s: forward at 2 s, backward at 2 s + 1
};

void Frame::sort_into_boxes() {
  boxes_.resize(view_.scopes.size() * 2);
  for (const GraphNode& n : view_.nodes) {
    const std::uint32_t side = n.backward ? 1 : 0;
    boxes_[n.scope * 2 + side].nodes.push_back(&n);
    for (std::uint32_t s = n.scope;; s = view_.scopes[s].parent) {
      if (boxes_[s * 2 + side].used) break;
      boxes_[s * 2 + side].used = true;
      if (s == 0) break;
    }
  }
  for (std::uint32_t s = 1; s < view_.scopes.size(); ++s)
    for (std::uint32_t side : {0u, 1u})
      if (boxes_[s * 2 + side].used) boxes_[view_.scopes[s].parent * 2 + side].boxes.push_back(s * 2 + side);
}

void Frame::open(std::ostream& out, std::uint32_t box) const {
  const GraphScope& scope = view_.scopes[box / 2];
  std::string label = box / 2 == 0 ? (box % 2 == 0 ? "forward" : "backward") : scope.name;
  if (scope.times > 1) label += (label.empty() ? "" : "   ") + fmt::format("x {}", scope.times);
  out << fmt::format("subgraph cluster_{} {{\nlabel=\"{}\";{}\n", box, dot_escape(label),
                     scope.times > 1 ? " penwidth=1.6; style=\"rounded,bold\";" : "");
}

void Frame::operator()(std::ostream& out) const {
  out << "graph [rankdir=TB, bgcolor=\"transparent\", fontname=\"Helvetica,Arial,sans-serif\", fontsize=12, "
         "fontcolor=\"#757d86\", color=\"#8c959f\", style=\"rounded\", nodesep=0.22, ranksep=0.36, pad=0.1, "
         "labeljust=l"
      << (options_.title.empty() ? "" : fmt::format(", labelloc=t, label=\"{}\"", dot_escape(options_.title)))
      << "];\nnode [fontname=\"Helvetica,Arial,sans-serif\", fontsize=11, shape=box, style=\"filled,rounded\", "
         "color=\"#8c959f\", fillcolor=\"#ffffff\", fontcolor=\"#1f2328\", height=0.3, margin=\"0.12,0.05\"];\n"
         "edge [fontname=\"Helvetica,Arial,sans-serif\", fontsize=10, color=\"#7d8590\", fontcolor=\"#757d86\", "
         "arrowsize=0.6];\n";
  if (boxes_.empty()) return;
  // Boxes within boxes, without recursion: a second visit closes.
  std::vector<std::pair<std::uint32_t, bool>> todo;
  for (std::uint32_t side : {1u, 0u})
    if (boxes_[side].used) todo.emplace_back(side, false);
  while (!todo.empty()) {
    const auto [box, close] = todo.back();
    todo.pop_back();
    const bool draws = box / 2 != 0 || backward_;
    if (close) {
      if (draws) out << "}\n";
      continue;
    }
    if (draws) open(out, box);
    for (const GraphNode* n : boxes_[box].nodes) out << n->id << ";\n";
    todo.emplace_back(box, true);
    for (auto inner = boxes_[box].boxes.rbegin(); inner != boxes_[box].boxes.rend(); ++inner)
      todo.emplace_back(*inner, false);
  }
}

void write_node(std::ostream& out, const GraphNode& node, const detail::Colouring& colours) {
  const std::string fill = colours.fill(node);
  out << fmt::format(" [id=\"{}\", label=\"{}\"", node.id, dot_escape(detail::node_label(node) + colours.note(node)));
  switch (node.role) {
    case GraphRole::parameter: out << ", shape=box, style=\"filled\""; break;
    case GraphRole::input: out << ", shape=ellipse, style=\"filled\""; break;
    case GraphRole::constant: out << ", color=\"#b6bec7\""; break;
    case GraphRole::loss: out << ", shape=box, peripheries=2"; break;
    default: break;
  }
  out << fmt::format(", fillcolor=\"{}\"", fill);
  if (detail::dark(fill)) out << ", fontcolor=\"#ffffff\"";
  out << "]";
}

void write_edge(std::ostream& out, const GraphNode& from, const GraphNode& to, const GraphEdge& edge) {
  std::string label = edge.label;
  // A shape helps where a value passes from one box into another; a leaf has its own beside it.
  if (label.empty() && from.scope != to.scope && (from.role == GraphRole::op || from.role == GraphRole::loss) &&
      from.node != no_node)
    label = detail::shape_text(from.shape);
  if (edge.delay > 0) label = fmt::format("z^-{}", edge.delay);
  out << "[";
  if (!label.empty()) out << fmt::format("label=\" {}  \"", dot_escape(label));
  const char* comma = label.empty() ? "" : ", ";
  if (edge.delay > 0) {
    out << comma << "dir=back, style=bold, color=\"#bc4c00\", fontcolor=\"#bc4c00\"";
  } else if (to.backward && !from.backward) {
    out << comma << "style=dashed";
  }
  out << "]";
}

}  // namespace

void write_dot(std::ostream& out, const GraphView& view, const DotOptions& options) {
  if (view.nodes.empty()) throw Error("write_dot: the graph is empty");
  const DotGraph graph = boost_graph(view);
  const detail::Colouring colours(view, options.overlay);
  std::ostringstream text;  // Boost flushes after each line
  text.imbue(std::locale::classic());
  boost::write_graphviz(
      text, graph, [&](std::ostream& o, auto v) { write_node(o, *graph[v].node, colours); },
      [&](std::ostream& o, auto e) {
        write_edge(o, *graph[source(e, graph)].node, *graph[target(e, graph)].node, *graph[e].edge);
      },
      Frame(view, options), IdMap{&graph});
  out << text.view();
  if (!out) throw Error("write_dot: the stream cannot be written");
}

GraphView dot_view(const Tape& tape, const DotOptions& options) {
  const bool numbers = options.overlay == Overlay::value_norm || options.overlay == Overlay::gradient_norm;
  GraphView view = graph_view(tape, {.loss = options.loss, .backward = options.backward, .statistics = numbers});
  if (options.fold_time) return fold_time(view);
  if (options.window != 0) return window_time(view, options.window);
  return view;
}

void write_dot(std::ostream& out, const Tape& tape, const DotOptions& options) {
  write_dot(out, dot_view(tape, options), options);
}

}  // namespace rw
