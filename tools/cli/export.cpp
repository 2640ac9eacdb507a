#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/models/text/char_model.h>
#include <rewind/models/weights/file.h>
#include <rewind/tools/cli/commands.h>
#include <rewind/tools/cli/messages.h>
#include <rewind/tools/cli/places.h>
#include <rewind/tools/export/header.h>
#include <rewind/tools/export/onnx.h>

namespace rw::cli {
namespace {

struct ExportCommand {
  std::string model, header, onnx, weights, name, data;
  Index pad = 8;
  bool f64 = false, int8 = false, train = false, sequence = false;
  TrainerOptions trainer;
};

/// What int8 does to the logits of a text, in one line.
std::string error_on_data(const ExportCommand& c, const CharModel& model, const RecordedStep& step) {
  constexpr std::size_t most = 10000;
  std::u32string text = decode_utf8(read_file(c.data), c.data);
  if (text.empty()) throw Error("--data is " + c.data + ", which is empty");
  text.resize(std::min(text.size(), most));
  const std::vector<std::int32_t> characters = model.vocabulary().encode(text, c.data);
  const Int8Error error = int8_error(step, Array(characters));
  return fmt::format(
      "int8: over {} characters the logits, up to {:.4g}, are off by at most {:.3g}, {:.3g} on average (rms)\n",
      characters.size(), error.largest_output, error.largest, std::sqrt(error.mean_square));
}

void write_header_files(const ExportCommand& c) {
  check_places({{"MODEL", c.model}, {"--data", c.data}},
               {{"--header", c.header, FileKind::header}, {"--weights", c.weights, FileKind::weights}});
  CharModel model = CharModel::load(c.model);
  model.eval();
  const HeaderOptions options{.name = c.name.empty() ? std::filesystem::path(c.header).stem().string() : c.name,
                              .weights_in_header = c.weights.empty(),
                              .int8 = c.int8,
                              .pad = c.pad};
  const DType real = c.f64 ? DType::f64 : DType::f32;
  const HeaderFile file = c.train      ? make_header(record_training(model, real), options, c.trainer)
                          : c.sequence ? make_header(record_sequence(model, real), options)
                                       : make_header(record_step(model, real), options);
  const std::string error = c.data.empty() ? "" : error_on_data(c, model, record_step(model, real));
  if (!c.weights.empty()) write_file(c.weights, file.weights);
  write_file(c.header, file.text);
  message(fmt::format("{} characters, {} weights: {} bytes of C++{}\n", model.vocabulary().size(),
                      model.parameter_count(), file.text.size(),
                      c.weights.empty() ? "" : fmt::format(", {} bytes of weights", file.weights.size())) +
          error);
}

void write_onnx_file(const ExportCommand& c) {
  check_places({{"MODEL", c.model}}, {{"--onnx", c.onnx, FileKind::onnx}});
  CharModel model = CharModel::load(c.model);
  model.eval();
  const std::string name = c.name.empty() ? std::filesystem::path(c.onnx).stem().string() : c.name;
  const std::string file = make_onnx(record_sequence(model, c.f64 ? DType::f64 : DType::f32), {.name = name});
  write_file(c.onnx, file);
  message(fmt::format("{} characters, {} weights: {} bytes of ONNX\n", model.vocabulary().size(),
                      model.parameter_count(), file.size()));
}

void export_model(const ExportCommand& c) {
  if (c.header.empty() && c.onnx.empty()) throw Error("--header is required, or --onnx");
  if (c.train && c.sequence)
    throw Error(
        "--train is of steps, without --sequence: it trains on windows of --window steps, and gradients reach back to "
        "the first of them");
  if (c.onnx.empty())
    write_header_files(c);
  else
    write_onnx_file(c);
}

}  // namespace

void add_export(CLI::App& rewind) {
  CLI::App* app =
      rewind.add_subcommand("export", "Write a saved model as one header of plain C++17, or as an ONNX file");
  const auto c = std::make_shared<ExportCommand>();
  app->add_option("MODEL", c->model, "What rewind train made")->required();
  CLI::Option* header = app->add_option("--header", c->header, "The header");
  app->add_option("--onnx", c->onnx, "An ONNX file, for sequences of any length and batch")->excludes(header);
  CLI::Option* sequence =
      app->add_flag("--sequence", c->sequence,
                    "With a run over whole sequences, in memory of its caller's, in place of a step")
          ->needs(header);
  app->add_option("--name", c->name, "Its namespace, or the graph's name; otherwise the file's name");
  app->add_option("--weights", c->weights, "A file for the weights, which the program gives to the header")
      ->needs(header);
  app->add_option("--pad", c->pad, "Lengths of loops are rounded up to a multiple of this")
      ->needs(header)
      ->excludes(sequence)
      ->capture_default_str();
  app->add_flag("--f64", c->f64, "Compute with doubles");
  CLI::Option* int8 =
      app->add_flag("--int8", c->int8, "Matrices of whole numbers of 8 bits, with a scale a row")->needs(header);
  app->add_option("--data", c->data, "A text on which to say how far int8 is off")->needs(int8)->excludes(sequence);
  CLI::Option* train =
      app->add_flag("--train", c->train, "With what trains it where it runs, by Adam")->needs(header)->excludes(int8);
  app->add_option("--window", c->trainer.window, "Steps after which weights move, and gradients end")
      ->needs(train)
      ->capture_default_str();
  app->add_option("--rate", c->trainer.rate, "The first learning rate")->needs(train)->capture_default_str();
  app->callback([c] { export_model(*c); });
}

}  // namespace rw::cli
