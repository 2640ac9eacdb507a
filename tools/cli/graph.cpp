#include <filesystem>
#include <iostream>
#include <memory>
#include <sstream>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/program/text.h>
#include <rewind/core/error.h>
#include <rewind/models/cells/any_cell.h>
#include <rewind/models/weights/file.h>
#include <rewind/tools/cli/commands.h>
#include <rewind/tools/cli/graph_model.h>
#include <rewind/tools/cli/messages.h>
#include <rewind/tools/cli/places.h>
#include <rewind/tools/graph/dot_render.h>
#include <rewind/tools/graph/html.h>

namespace rw::cli {
namespace {

struct GraphCommand {
  GraphModel model;
  bool fold = false, backward = false, text = false;
  int window = 0;
  std::string overlay_name = "role";
  std::string dot, svg, png, html, title;

  Overlay overlay() const {
    return overlay_name == "value"      ? Overlay::value_norm
           : overlay_name == "gradient" ? Overlay::gradient_norm
           : overlay_name == "bytes"    ? Overlay::bytes
                                        : Overlay::role;
  }
  bool pictures() const { return !svg.empty() || !png.empty() || !html.empty(); }
};

void record_gradients(const GraphCommand& c, RecordedModel& recorded) {
  if (c.backward) {
    const std::vector<NamedParameter> parameters = recorded.model->parameters();
    std::vector<Operand> operands;
    for (const NamedParameter& p : parameters) operands.emplace_back(*p.parameter);
    grad(recorded.loss, operands);
  }
  if (c.overlay() == Overlay::gradient_norm || !c.html.empty()) backward(recorded.loss, {.keep_grads = true});
}

void write_page(const GraphCommand& c, const RecordedModel& recorded) {
  const GraphView all = graph_view(recorded.tape, GraphViewOptions{.loss = recorded.loss, .statistics = true});
  std::ostringstream page;
  write_html(page, html_views(all), c.title.empty() ? c.model.name() : c.title);
  write_file(c.html, page.str());
}

/// The DOT text of a picture that was not made, so that it can be laid out in another way; a file that is there stays.
std::string keep_dot(const GraphCommand& c, const std::string& picture, const std::string& text) {
  const std::string dot = picture + ".dot";
  if (!c.dot.empty()) return "; the DOT file is " + c.dot;
  if (std::filesystem::exists(dot)) return "; give --dot to keep the DOT file";
  write_file(dot, text);
  return "; the DOT file is " + dot;
}

void draw_pictures(const GraphCommand& c, const RecordedModel& recorded, const GraphView& view,
                   const std::string& text) {
  std::string picture;
  try {
    for (const auto& [path, format] : {std::pair(c.svg, "svg"), std::pair(c.png, "png")})
      if (!(picture = path).empty()) write_file(path, laid_out(text, view.nodes.size(), format));
    if (!(picture = c.html).empty()) write_page(c, recorded);
  } catch (const Error& e) {
    throw Error(picture + " was not made: " + e.what() + keep_dot(c, picture, text));
  }
}

/// The program that the model records, and with --backward the gradients of its parameters as results.
void print_program(const GraphCommand& c) {
  const RecordedModel recorded = record_model(c.model);
  std::vector<Tensor> results{recorded.loss};
  if (c.backward) {
    std::vector<Operand> operands;
    for (const NamedParameter& p : recorded.model->parameters()) operands.emplace_back(*p.parameter);
    for (const Tensor& g : grad(recorded.loss, operands)) results.push_back(g);
  }
  const ir::Program program = ir::fold(ir::sorted(ir::from_tape(recorded.tape, results, {})));
  std::cout << ir::dump(program);
  std::istringstream lists(ir::explain(program));
  for (std::string line; std::getline(lists, line);) std::cout << "# " << line << '\n';
  std::cout << std::flush;
  if (!std::cout) throw Error("cannot write the program: standard output is closed or full");
}

void graph(const GraphCommand& c) {
  check_places({{"MODEL", c.model.file}}, {{"--dot", c.dot, FileKind::dot},
                                           {"--svg", c.svg, FileKind::svg},
                                           {"--png", c.png, FileKind::png},
                                           {"--html", c.html, FileKind::html}});
  if (c.text) return print_program(c);
  RecordedModel recorded = record_model(c.model);
  record_gradients(c, recorded);
  const DotOptions options{
      .fold_time = c.fold, .window = c.window, .overlay = c.overlay(), .loss = recorded.loss, .title = c.title};
  const GraphView view = dot_view(recorded.tape, options);
  std::ostringstream text;
  write_dot(text, view, options);
  if (c.dot.empty() && !c.pictures()) {
    std::cout << text.view() << std::flush;
    if (!std::cout) throw Error("cannot write the graph: standard output is closed or full");
    return;
  }
  if (!c.dot.empty()) write_file(c.dot, text.str());
  if (c.pictures()) draw_pictures(c, recorded, view, text.str());
  message(
      fmt::format("{} nodes, {} edges, of {} on the tape\n", view.nodes.size(), view.edges(), recorded.tape.size()));
}

}  // namespace

void add_graph(CLI::App& rewind) {
  CLI::App* app = rewind.add_subcommand("graph", "Draw the graph that a cell or a saved model records");
  const auto c = std::make_shared<GraphCommand>();
  add_model_options(*app, c->model);
  app->add_flag("--fold", c->fold, "Draw the repeated steps once, with z^-1 edges");
  app->add_option("--window", c->window, "Draw the first so many steps, and the last; 0: all")
      ->check(CLI::Range(0, 1000000));
  app->add_flag("--backward", c->backward, "Draw the gradient's graph beside the forward one");
  app->add_option("--overlay", c->overlay_name, "Colour of a node: role, value or gradient (norms), or bytes")
      ->check(CLI::IsMember({"role", "value", "gradient", "bytes"}));
  CLI::Option* text = app->add_flag("--text", c->text, "Print the program, with its loops, in place of a drawing");
  app->add_option("--title", c->title, "Above the picture");
  const auto add_file = [&](const char* option, std::string& path, const char* otherwise, const char* what) {
    app->add_option(option, path, what)->expected(0, 1)->default_str(otherwise)->option_text("[FILE]")->excludes(text);
  };
  add_file("--dot", c->dot, "graph.dot", "Write DOT; without any file, it goes to standard output");
  add_file("--svg", c->svg, "graph.svg", "Write a picture, laid out by Graphviz");
  add_file("--png", c->png, "graph.png", "The same as PNG");
  add_file("--html", c->html, "graph.html", "Write a page to look around in: pan, zoom, search, click, fold");
  app->callback([c] { graph(*c); });
}

}  // namespace rw::cli
