#include <cmath>
#include <ostream>
#include <sstream>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/tools/graph/dot_render.h>
#include <rewind/tools/graph/dot_text.h>
#include <rewind/tools/graph/fold.h>
#include <rewind/tools/graph/html.h>
#include <rewind/tools/json_text.h>

namespace rw {
namespace {

constexpr std::string_view page =
#include "html_page.inc"
    ;

using detail::json_string;

std::string number(double x) { return std::isfinite(x) ? fmt::format("{:.9g}", x) : "null"; }

std::string json(const GraphStatistics& s) {
  if (!s.known) return "null";
  return fmt::format(R"({{"norm":{},"mean":{},"min":{},"max":{},"nans":{},"infs":{}}})", number(s.norm), number(s.mean),
                     number(s.min), number(s.max), s.nans, s.infs);
}

const char* role_name(GraphRole role) {
  switch (role) {
    case GraphRole::input: return "input";
    case GraphRole::parameter: return "parameter";
    case GraphRole::constant: return "constant";
    case GraphRole::loss: return "loss";
    default: return "op";
  }
}

void write_node(std::ostream& out, const GraphView& view, const GraphNode& n) {
  std::string shape, in, norms;
  for (Index d : n.shape) shape += (shape.empty() ? "" : ",") + std::to_string(d);
  for (const GraphEdge& e : n.in)
    in += fmt::format(R"({}{{"id":{},"delay":{},"label":{}}})", in.empty() ? "" : ",",
                      json_string(view.nodes[e.from].id), e.delay, json_string(e.label));
  for (double x : n.value_norms) norms += (norms.empty() ? "" : ",") + number(x);
  const std::string scope = view.scope_path(n.scope);
  out << fmt::format(R"({{"id":{},"op":{},"name":{},"attributes":{},"shape":[{}],"dtype":{},"role":"{}",)",
                     json_string(n.id), json_string(n.op), json_string(n.name), json_string(n.attributes), shape,
                     json_string(name_of(n.dtype)), role_name(n.role))
      << fmt::format(R"("backward":{},"scope":{},"bytes":{},"value":{},"gradient":{},"norms":[{}],"in":[{}]}})",
                     n.backward, json_string(scope), n.bytes, json(n.value), json(n.gradient), norms, in);
}

/// Everything the page shows, as JSON.
std::string json(const std::vector<HtmlView>& views, const std::string& title) {
  std::ostringstream out;
  out << "{\"title\":" << json_string(title) << ",\"views\":[";
  const char* comma = "";
  for (const HtmlView& v : views) {
    std::ostringstream dot;
    write_dot(dot, v.graph);
    out << comma << "{\"name\":" << json_string(v.name)
        << ",\"svg\":" << json_string(dot_to_svg(dot.str(), v.graph.nodes.size())) << ",\"nodes\":[\n";
    comma = "";
    for (const GraphNode& n : v.graph.nodes) {
      out << comma;
      write_node(out, v.graph, n);
      comma = ",\n";
    }
    out << "]}";
    comma = ",";
  }
  out << "]}";
  return out.str();
}

void replace(std::string& text, const std::string& what, const std::string& with) {
  text.replace(text.find(what), what.size(), with);
}

std::string html_escape(std::string_view text) {
  std::string out;
  for (char c : detail::clean_utf8(text)) {
    if (c == '&' || c == '<')
      out += c == '&' ? "&amp;" : "&lt;";
    else
      out += c;
  }
  return out;
}

}  // namespace

std::vector<HtmlView> html_views(const GraphView& graph) {
  std::vector<HtmlView> out;
  const auto add = [&](const char* name, GraphView view) {
    if (view.nodes.size() <= max_layout_nodes && (out.empty() || view.nodes.size() != out.back().graph.nodes.size()))
      out.push_back({name, std::move(view)});
  };
  if (const GraphView folded = fold_time(graph); folded.folded) {
    add("folded", folded);
    add("first steps", window_time(graph, 2));
  }
  add("all steps", graph);
  if (out.empty())
    throw Error(fmt::format("a graph of {} nodes, without a loop to fold, is too large for a page (at most {})",
                            graph.nodes.size(), max_layout_nodes));
  return out;
}

void write_html(std::ostream& out, const std::vector<HtmlView>& views, const std::string& title) {
  std::string text(page);
  replace(text, "@DATA@", json(views, title));  // before the title, which may be any words, also these
  replace(text, "@TITLE@", html_escape(title));
  out << text;
  if (!out) throw Error("write_html: the stream cannot be written");
}

}  // namespace rw
