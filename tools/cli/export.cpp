#include <filesystem>
#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <rewind/models/text/char_model.h>
#include <rewind/models/weights/file.h>
#include <rewind/tools/cli/commands.h>
#include <rewind/tools/cli/messages.h>
#include <rewind/tools/cli/places.h>
#include <rewind/tools/export/header.h>

namespace rw::cli {
namespace {

struct ExportCommand {
  std::string model, header, weights, name;
  Index pad = 8;
  bool f64 = false;
};

void write_header_files(const ExportCommand& c) {
  check_places({{"MODEL", c.model}},
               {{"--header", c.header, FileKind::header}, {"--weights", c.weights, FileKind::weights}});
  CharModel model = CharModel::load(c.model);
  model.eval();
  const HeaderOptions options{.name = c.name.empty() ? std::filesystem::path(c.header).stem().string() : c.name,
                              .weights_in_header = c.weights.empty(),
                              .pad = c.pad};
  const HeaderFile file = make_header(record_step(model, c.f64 ? DType::f64 : DType::f32), options);
  if (!c.weights.empty()) write_file(c.weights, file.weights);
  write_file(c.header, file.text);
  message(fmt::format("{} characters, {} weights: {} bytes of C++{}\n", model.vocabulary().size(),
                      model.parameter_count(), file.text.size(),
                      c.weights.empty() ? "" : fmt::format(", {} bytes of weights", file.weights.size())));
}

}  // namespace

void add_export(CLI::App& rewind) {
  CLI::App* app = rewind.add_subcommand("export", "Write a saved model as one header of plain C++17");
  const auto c = std::make_shared<ExportCommand>();
  app->add_option("MODEL", c->model, "What rewind train made")->required();
  app->add_option("--header", c->header, "The header")->required();
  app->add_option("--name", c->name, "Its namespace; otherwise the file's name");
  app->add_option("--weights", c->weights, "A file for the weights, which the program gives to the header");
  app->add_option("--pad", c->pad, "Lengths of loops are rounded up to a multiple of this")->capture_default_str();
  app->add_flag("--f64", c->f64, "Compute with doubles");
  app->callback([c] { write_header_files(*c); });
}

}  // namespace rw::cli
