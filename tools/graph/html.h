#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include <rewind/tools/graph/dot.h>

namespace rw {

/// One of the ways in which a page shows a graph.
struct HtmlView {
  std::string name;  // of its button: "folded"
  GraphView graph;
};

/// The ways to show one graph, best first: folded, the first steps and the last, all steps. Left out: what shows the
/// same as another, and what Graphviz could not lay out. Throws Error when nothing is left.
std::vector<HtmlView> html_views(const GraphView& graph);

/// Writes one page that needs nothing else, no network either: pan, zoom, search, click a node to see its shape, scope,
/// numbers, inputs and users; fold and unfold time. The layout is Graphviz's; throws Error as render_dot does.
void write_html(std::ostream& out, const std::vector<HtmlView>& views, const std::string& title);

}  // namespace rw
