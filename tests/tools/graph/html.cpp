#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <unistd.h>

#include <doctest/doctest.h>

#include <rewind/core/error.h>
#include <rewind/models/cells/rnn.h>
#include <rewind/models/sequence/unroll.h>
#include <rewind/tools/graph/dot_render.h>
#include <rewind/tools/graph/html.h>

#include "../cli/run.h"

namespace {

using namespace rw;

bool has(const std::string& program) {
  return std::system(("command -v " + program + " >/dev/null 2>&1").c_str()) == 0;
}

std::string output_of(const std::string& command) {
  std::string out;
  FILE* pipe = popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  for (int c = std::getc(pipe); c != EOF; c = std::getc(pipe)) out += static_cast<char>(c);
  pclose(pipe);
  return out;
}

GraphView thirty_steps() {
  Rng rng(1);
  Tape tape;
  RnnCell cell(3, 4, rng);
  cell.set_name("</script><b>&\"");
  unroll(cell, tape.constant(full({30, 2, 3}, 0.1)), cell.zero_state(tape, 2));
  return graph_view(tape, GraphViewOptions{.statistics = true});
}

}  // namespace

TEST_CASE("a page offers the graph folded, windowed and whole") {
  const GraphView graph = thirty_steps();
  const std::vector<HtmlView> views = html_views(graph);
  REQUIRE(views.size() == 3);
  CHECK(views[0].name == "folded");
  CHECK(views[0].graph.nodes.size() < views[1].graph.nodes.size());
  CHECK(views[1].graph.nodes.size() < views[2].graph.nodes.size());
  CHECK(views[2].graph.nodes.size() == graph.nodes.size());

  GraphView large;
  large.scopes.resize(1);
  large.nodes.resize(max_layout_nodes + 1);
  CHECK_THROWS_WITH_AS(html_views(large), doctest::Contains("too large"), Error);
}

TEST_CASE("a graph that Graphviz would choke on is refused with advice, and the DOT file stays") {
  const Scratch scratch;
  CHECK_THROWS_WITH_AS(render_dot(scratch.write("graph.dot", "digraph {}"), 100000, "svg", "graph.svg"),
                       doctest::Contains("--fold"), Error);
  CHECK_FALSE(std::filesystem::exists("graph.svg"));
  CHECK(scratch.has("graph.dot"));
}

TEST_CASE("the page loads without a network, and a click shows the node") {
  if (!has("dot") || !has("chromium")) {
    MESSAGE("skipped: needs Graphviz (dot) and chromium");
    return;
  }
  const Scratch scratch;
  const GraphView graph = thirty_steps();
  std::ostringstream page;
  write_html(page, html_views(graph), "a <title> & more");
  const std::string text = page.str(), path = (scratch.path / "page.html").string();
  for (const char* outside : {"src=", "href=\"http", "@import", "fetch("})
    CHECK(text.find(outside) == std::string::npos);
  std::ofstream(path) << text;
  const std::string id = "__script__b____t_0_tanh_1";
  const auto dom = [&](const std::string& hash) {
    return output_of(
        "timeout 100 chromium --headless --no-sandbox --disable-gpu --virtual-time-budget=5000 "
        "--user-data-dir=" +
        (scratch.path / "profile").string() + " --dump-dom 'file://" + path + hash + "' 2>/dev/null");
  };
  const std::string folded = dom("#click=" + id);
  if (folded.empty()) {
    MESSAGE("skipped: chromium does not start here");
    return;
  }
  CHECK(folded.find("aria-pressed=\"true\">folded") != std::string::npos);
  CHECK(folded.find("data-node=\"" + id) != std::string::npos);
  CHECK(folded.find("<dd>2 x 4</dd>") != std::string::npos);
  CHECK(folded.find("norm by time step, 0 to 29") != std::string::npos);
  CHECK(folded.find("z^-1") != std::string::npos);
  const std::string all = dom("#view=all%20steps&search=tanh");
  CHECK(all.find("30 found") != std::string::npos);
  CHECK(all.find(std::to_string(graph.nodes.size()) + " nodes") != std::string::npos);
}
