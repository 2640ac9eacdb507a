#include <cstdlib>
#include <iostream>
#include <memory>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/compile/compile.h>
#include <rewind/core/error.h>
#include <rewind/models/cells/any_cell.h>
#include <rewind/tools/cli/commands.h>
#include <rewind/tools/cli/graph_model.h>
#include <rewind/tools/gradcheck/gradcheck.h>

namespace rw::cli {
namespace {

struct GradcheckCommand {
  GraphModel model;
  GradcheckOptions options;
  bool f32 = false, compiled = false, json = false;
};

// Colours for people who look at a terminal (https://no-color.org).
bool colours() {
  const char* no = std::getenv("NO_COLOR");
  return isatty(STDOUT_FILENO) != 0 && (no == nullptr || *no == '\0');
}

template <class Report>
void print(const Report& report, bool json) {
  std::cout << (json ? report.json() : report.str(colours())) << std::flush;
  if (!std::cout) throw Error("cannot write the report: standard output is closed or full");
  if (!report.ok()) exit_code = 1;
}

// The plan of the loss with its gradient, in f64.
void check_plan(const GradcheckCommand& c, const BuiltModel& built) {
  if (c.f32) throw Error("--compiled checks in f64, and --f32 looks at a tape: give one of them");
  built.model->to(DType::f64);
  auto step = compile(
      [&](Tape& tape) {
        const Tensor loss = built.loss(tape);
        backward(loss);
        return loss;
      },
      CompileOptions{.dtype = DType::f64});
  print(rw::gradcheck(step, built.model->parameters(), c.options), c.json);
}

void gradcheck(const GradcheckCommand& c) {
  const BuiltModel built = build_model(c.model);
  if (c.compiled) return check_plan(c, built);
  if (c.f32)
    print(check_rounding(built.loss, built.model->parameters()), c.json);
  else
    print(rw::gradcheck(built.loss, built.model->parameters(), c.options), c.json);
}

}  // namespace

void add_gradcheck(CLI::App& rewind) {
  CLI::App* app = rewind.add_subcommand("gradcheck", "Check the gradients of a cell or a saved model; 0 only if right");
  const auto c = std::make_shared<GradcheckCommand>();
  c->model.hidden = 4;
  c->model.in = 3;
  c->model.batch = 2;
  add_model_options(*app, c->model);
  app->add_option("--order", c->options.order, "1: gradients; 2: second derivatives, too")->check(CLI::Range(1, 2));
  app->add_option("--elements", c->options.elements,
                  "Elements to check one by one; 0: what half a minute is enough for")
      ->check(CLI::NonNegativeNumber);
  app->add_flag("--full", c->options.full, "Check every element");
  app->add_option("--worst", c->options.worst, "Elements in the table of the worst");
  app->add_flag("--f32", c->f32, "Replay an f32 tape in f64: is every value within its rounding?");
  app->add_flag("--compiled", c->compiled, "Check the gradients that the compiled plan gives, and not the tape's");
  app->add_flag("--json", c->json, "Print JSON");
  app->callback([c] { gradcheck(*c); });
}

}  // namespace rw::cli
