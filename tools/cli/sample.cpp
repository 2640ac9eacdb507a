#include <iostream>
#include <memory>

#include <CLI/CLI.hpp>

#include <rewind/core/error.h>
#include <rewind/models/char_writer.h>
#include <rewind/tools/cli/commands.h>

namespace rw::cli {

namespace {

struct SampleCommand {
  std::string model, prompt;
  Index length = 500;
  SamplerOptions options;
  std::uint64_t seed = 1;
  bool eager = false;
};

void sample(const SampleCommand& c) {
  if (c.length < 0) throw Error("--length is " + std::to_string(c.length) + ": it must be 0 or more");
  CharModel model = CharModel::load(c.model);
  model.eval();
  CharWriter writer(model, c.options, c.seed, c.eager);
  writer.read(decode_utf8(c.prompt, "prompt"));
  std::cout << c.prompt;
  for (Index i = 0; i < c.length; ++i) {
    const char32_t next = writer.next();
    std::cout << encode_utf8({&next, 1});
    if (next == U'\n') std::cout.flush();
  }
  std::cout << '\n' << std::flush;
  if (!std::cout) throw Error("cannot write the sample: standard output is closed or full");
}

}  // namespace

void add_sample(CLI::App& rewind) {
  CLI::App* app = rewind.add_subcommand("sample", "Write with a character model");
  const auto c = std::make_shared<SampleCommand>();
  app->add_option("MODEL", c->model, "What rewind train made")->required();
  app->add_option("--prompt", c->prompt, "Text to go on from");
  app->add_option("--length", c->length, "Characters to write")->capture_default_str();
  app->add_option("--temperature", c->options.temperature, "Below 1: safer; above 1: wilder; 0: always the likeliest")
      ->capture_default_str();
  app->add_option("--top-k", c->options.top_k, "Choose among so many likeliest characters; 0: all")
      ->capture_default_str();
  app->add_flag("--greedy", c->options.greedy, "Always the likeliest character");
  app->add_option("--seed", c->seed, "Seed of the choices")->capture_default_str();
  app->add_flag("--eager", c->eager, "Run op by op, in place of a compiled step");
  app->callback([c] { sample(*c); });
}

}  // namespace rw::cli
