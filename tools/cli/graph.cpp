#include <iostream>
#include <map>
#include <memory>
#include <sstream>

#include <CLI/CLI.hpp>

#include <rewind/autograd/backward.h>
#include <rewind/core/error.h>
#include <rewind/models/any_cell.h>
#include <rewind/tools/cli/commands.h>
#include <rewind/tools/cli/graph_model.h>
#include <rewind/tools/dot_render.h>

namespace rw::cli {
namespace {

struct GraphCommand {
  GraphModel model;
  bool fold = false, backward = false;
  int window = 0;
  Overlay overlay = Overlay::role;
  std::string dot, svg, png, title;
};

void record_gradients(const GraphCommand& c, RecordedModel& recorded) {
  if (c.backward) {
    const std::vector<NamedParameter> parameters = recorded.model->parameters();
    std::vector<Operand> operands;
    for (const NamedParameter& p : parameters) operands.emplace_back(*p.parameter);
    grad(recorded.loss, operands);
  }
  if (c.overlay == Overlay::gradient_norm) backward(recorded.loss, {.keep_grads = true});
}

void draw_with_graphviz(const GraphCommand& c, const GraphView& view, const std::string& text) {
  // Without a DOT file of its own a picture has one beside it, which stays when Graphviz is missing.
  const std::string dot = !c.dot.empty() ? c.dot : (c.svg.empty() ? c.png : c.svg) + ".dot";
  if (c.dot.empty()) write_file(dot, text);
  if (!c.svg.empty()) render_dot(dot, view.nodes.size(), "svg", c.svg);
  if (!c.png.empty()) render_dot(dot, view.nodes.size(), "png", c.png);
  if (c.dot.empty()) std::remove(dot.c_str());
}

void graph(const GraphCommand& c) {
  RecordedModel recorded = record_model(c.model);
  record_gradients(c, recorded);
  const DotOptions options{
      .fold_time = c.fold, .window = c.window, .overlay = c.overlay, .loss = recorded.loss, .title = c.title};
  const GraphView view = graph_view(recorded.tape, options);
  std::ostringstream text;
  write_dot(text, view, options);
  if (c.dot.empty() && c.svg.empty() && c.png.empty()) {
    std::cout << text.view() << std::flush;
    if (!std::cout) throw Error("cannot write the graph: standard output is closed or full");
    return;
  }
  if (!c.dot.empty()) write_file(c.dot, text.str());
  if (!c.svg.empty() || !c.png.empty()) draw_with_graphviz(c, view, text.str());
  std::cerr << view.nodes.size() << " nodes, " << view.edges() << " edges, of " << recorded.tape.size()
            << " on the tape\n";
}

}  // namespace

void add_graph(CLI::App& rewind) {
  CLI::App* app = rewind.add_subcommand("graph", "Draw the graph that a cell or a saved model records");
  const auto c = std::make_shared<GraphCommand>();
  std::string names;
  for (std::string_view name : cell_names()) names += (names.empty() ? "" : ", ") + std::string(name);
  app->add_option("MODEL", c->model.file, "What rewind train made; without it, a new cell is drawn");
  app->add_option("--cell", c->model.cell, "One of " + names);
  app->add_option("--steps", c->model.steps, "Time steps");
  app->add_option("--layers", c->model.layers, "Layers, one above the other");
  app->add_flag("--bidirectional", c->model.bidirectional, "Each layer reads in both directions");
  app->add_option("--in", c->model.in, "Features of the input");
  app->add_option("--hidden", c->model.hidden, "Features of the state");
  app->add_option("--batch", c->model.batch, "Sequences side by side");
  app->add_option("--seed", c->model.seed, "Seed of weights and input");
  app->add_flag("--fold", c->fold, "Draw the repeated steps once, with z^-1 edges");
  app->add_option("--window", c->window, "Draw the first so many steps, and the last; 0: all")
      ->check(CLI::Range(0, 1000000));
  app->add_flag("--backward", c->backward, "Draw the gradient's graph beside the forward one");
  const std::map<std::string, Overlay> overlays = {{"role", Overlay::role},
                                                   {"value", Overlay::value_norm},
                                                   {"gradient", Overlay::gradient_norm},
                                                   {"bytes", Overlay::bytes}};
  app->add_option("--overlay", c->overlay,
                  "Colour nodes by role, by the norm of the value or of the gradient, or by bytes")
      ->transform(CLI::CheckedTransformer(overlays));
  app->add_option("--title", c->title, "Above the picture");
  app->add_option("--dot", c->dot, "Write DOT here; without any file, to standard output")
      ->expected(0, 1)
      ->default_str("graph.dot");
  app->add_option("--svg", c->svg, "Write a picture here (Graphviz)");
  app->add_option("--png", c->png, "The same as PNG");
  app->callback([c] { graph(*c); });
}

}  // namespace rw::cli
