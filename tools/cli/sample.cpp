#include <iostream>
#include <memory>
#include <optional>

#include <CLI/CLI.hpp>

#include <rewind/core/error.h>
#include <rewind/models/text/char_writer.h>
#include <rewind/tools/cli/commands.h>
#include <rewind/tools/cli/numbers.h>

namespace rw::cli {

namespace {

struct SampleCommand {
  std::string model, prompt, stop;
  Index length = 500, beam = 0;
  SamplerOptions options;
  double length_penalty = 0;
  bool use_beam = false;
  std::uint64_t seed = 1;
  bool eager = false;
};

// The character that ends the text, if any; it must be one that the model can write.
std::optional<std::int32_t> stop_character(const SampleCommand& c, const Vocabulary& vocabulary) {
  if (c.stop.empty()) return std::nullopt;
  const std::vector<std::int32_t> numbers = vocabulary.encode(decode_utf8(c.stop, "--stop"), "--stop");
  if (numbers.size() != 1) throw Error("--stop has " + std::to_string(numbers.size()) + " characters: it must be one");
  return numbers[0];
}

void write(char32_t character) {
  std::cout << encode_utf8({&character, 1});
  if (character == U'\n') std::cout.flush();
}

void sample(const SampleCommand& c) {
  if (c.length < 0) throw Error("--length is " + std::to_string(c.length) + ": it must be 0 or more");
  if (c.use_beam) need_count("--beam", c.beam, 1, 10000);
  CharModel model = CharModel::load(c.model);
  model.eval();
  const auto stop = stop_character(c, model.vocabulary());
  CharWriter writer(model, c.options, c.seed, c.eager);
  writer.read(decode_utf8(c.prompt, "prompt"));
  if (c.use_beam) {
    const std::u32string best =
        writer.write_best({.width = c.beam, .length = c.length, .stop = stop, .length_penalty = c.length_penalty});
    std::cout << c.prompt;
    for (const char32_t character : best) write(character);
  } else {
    std::cout << c.prompt;
    for (Index i = 0; i < c.length; ++i) {
      const char32_t next = writer.next();
      write(next);
      if (stop.has_value() && model.vocabulary().find(next) == *stop) break;
    }
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
  app->add_option("--top-p", c->options.top_p,
                  "Choose among the fewest characters of this probability together; 1: all")
      ->capture_default_str();
  app->add_flag("--greedy", c->options.greedy, "Always the likeliest character");
  app->add_option("--seed", c->seed, "Seed of the choices")->capture_default_str();
  app->add_flag("--eager", c->eager, "Run op by op, in place of a compiled step");
  app->add_option("--stop", c->stop, "End after this character");
  CLI::Option* beam = app->add_option("--beam", c->beam, "Search for the likeliest text with so many hypotheses");
  for (const char* choice : {"--temperature", "--top-k", "--top-p", "--greedy"}) beam->excludes(choice);
  app->add_option("--length-penalty", c->length_penalty, "With --beam and --stop: above 0 favours longer texts")
      ->needs(beam)
      ->capture_default_str();
  app->callback([c, beam] {
    c->use_beam = beam->count() > 0;
    sample(*c);
  });
}

}  // namespace rw::cli
