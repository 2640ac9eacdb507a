#include <algorithm>

#include <CLI/CLI.hpp>

#include <rewind/core/error.h>
#include <rewind/models/cells/any_cell.h>
#include <rewind/models/sequence/bidirectional.h>
#include <rewind/models/sequence/recurrent.h>
#include <rewind/models/sequence/stack.h>
#include <rewind/models/text/char_model.h>
#include <rewind/ops/loss.h>
#include <rewind/tools/cli/graph_model.h>
#include <rewind/tools/cli/numbers.h>

namespace rw::cli {
namespace {

Array random_array(const Shape& shape, Rng& rng) {
  Array a(shape);
  for (float& x : a.span<float>()) x = static_cast<float>(rng.normal());
  return a;
}

Array random_indices(const Shape& shape, Index below, Rng& rng) {
  Array a(shape, DType::i32);
  for (std::int32_t& x : a.span<std::int32_t>()) x = static_cast<std::int32_t>(rng.below(below));
  return a;
}

/// The top layer's output after the last step: x [T, N, in] -> [N, out].
template <Layer L>
using LastOutput = Recurrent<Stack<L>>;

AnyCell make_layer(std::type_identity<AnyCell>, const GraphModel& what, Index in, Rng& rng) {
  return make_cell(what.cell, in, what.hidden, rng);
}
Bidirectional<AnyCell> make_layer(std::type_identity<Bidirectional<AnyCell>>, const GraphModel& what, Index in,
                                  Rng& rng) {
  return Bidirectional<AnyCell>{make_cell(what.cell, in, what.hidden, rng), make_cell(what.cell, in, what.hidden, rng)};
}

Index output_width(const Bidirectional<AnyCell>& layer) {
  return output_width(layer.forward()) + output_width(layer.backward());
}

// Beyond these a picture or a check would take hours, or more memory than there is.
constexpr Index most_steps = 100000, most_features = 4096;

void check_sizes(const GraphModel& what) {
  need_count("--steps", what.steps, 1, most_steps);
  need_count("--layers", what.layers, 1, most_steps / what.steps);
  need_count("--in", what.in, 1, most_features);
  need_count("--hidden", what.hidden, 1, most_features);
  need_count("--batch", what.batch, 1, most_features);
}

BuiltModel build_from_file(const GraphModel& what, Rng& rng) {
  auto model = std::make_unique<CharModel>(CharModel::load(what.file));
  model->eval();
  const auto characters = static_cast<Index>(model->vocabulary().size());
  const Shape shape{what.steps, what.batch};
  const Array x = random_indices(shape, characters, rng), y = random_indices(shape, characters, rng);
  const auto loss = [&model = *model, x, y](Tape& tape) {
    CharModel::State state = model.zero_state(tape, x.shape()[1]);
    return cross_entropy(model.logits(tape.constant(x), state), tape.constant(y));
  };
  return {std::move(model), loss};
}

template <Layer L>
BuiltModel build_layers(const GraphModel& what, Rng& rng) {
  std::vector<L> layers;
  Index width = what.in;
  for (Index i = 0; i < what.layers; ++i) {
    layers.push_back(make_layer(std::type_identity<L>(), what, width, rng));
    width = output_width(layers.back());
  }
  auto model =
      std::make_unique<LastOutput<L>>(Stack<L>(std::move(layers)), RecurrentOptions{.return_sequences = false});
  const Array x = random_array({what.steps, what.batch, what.in}, rng), y = random_array({what.batch, width}, rng);
  const auto loss = [&layers = *model, x, y](Tape& tape) { return mse(layers(tape.variable(x)), tape.constant(y)); };
  return {std::move(model), loss};
}

}  // namespace

std::string GraphModel::name() const {
  const std::string length = ", " + std::to_string(steps) + (steps == 1 ? " step" : " steps");
  if (!file.empty()) return file + length;
  const std::string what = cell + (bidirectional ? ", both directions" : "");
  return (layers == 1 ? what : std::to_string(layers) + " layers of " + what) + length;
}

void add_model_options(CLI::App& app, GraphModel& model) {
  CLI::Option* file = app.add_option("MODEL", model.file, "What rewind train made; without it, a new cell is made");
  app.add_option("--steps", model.steps, "Time steps")->capture_default_str();
  app.add_option("--batch", model.batch, "Sequences side by side")->capture_default_str();
  app.add_option("--seed", model.seed, "Seed of weights and input")->capture_default_str();
  app.add_option("--cell", model.cell, "One of " + cells_with_options())->capture_default_str()->excludes(file);
  app.add_option("--layers", model.layers, "Layers, one above the other")->capture_default_str()->excludes(file);
  app.add_flag("--bidirectional", model.bidirectional, "Each layer reads in both directions")->excludes(file);
  app.add_option("--in", model.in, "Features of the input")->capture_default_str()->excludes(file);
  app.add_option("--hidden", model.hidden, "Features of the state")->capture_default_str()->excludes(file);
}

BuiltModel build_model(const GraphModel& what) {
  check_sizes(what);
  Rng rng(what.seed);
  if (!what.file.empty()) return build_from_file(what, rng);
  return what.bidirectional ? build_layers<Bidirectional<AnyCell>>(what, rng) : build_layers<AnyCell>(what, rng);
}

RecordedModel record_model(const GraphModel& what) {
  BuiltModel built = build_model(what);
  RecordedModel out{.model = nullptr, .tape = Tape(), .loss = {}};
  out.loss = built.loss(out.tape);
  out.model = std::move(built.model);
  return out;
}

}  // namespace rw::cli
