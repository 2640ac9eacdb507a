#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include <rewind/core/dtype.h>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace rw::cli {

/// What decides the numbers of a training run, and is therefore kept in its checkpoint.
struct TrainOptions {
  std::string cell = "lstm";
  Index layers = 2, hidden = 256, embedding = 0;
  double dropout = 0;

  Index batch = 32, sequence = 64;
  double held_out = 0.05;

  std::string optimizer = "adam", schedule = "cosine";
  double rate = 4e-3, decay = 0.97;
  Index decay_after = 10;
  double clip = 1, clip_value = 0;  // 0: none

  std::string init = "default";
  double init_scale = 0.08;
  std::uint64_t seed = 1;
};

/// Where a run ends: one of them, the others are 0.
struct Budget {
  double epochs = 0, seconds = 0;
  Index steps = 0;
};

/// Everything the command line says.
struct TrainCommand {
  std::vector<std::string> texts;
  TrainOptions options;
  Budget budget;
  std::string out = "model.safetensors", checkpoint, resume, curve, recipe;
  int threads = 0;
  bool quiet = false;

  /// One of `options` on the command line: its name, whether it was given, and how its value is taken over.
  struct Given {
    std::string name;
    const CLI::Option* option;
    std::function<void(const TrainOptions& from, TrainOptions& to)> copy;
  };
  std::vector<Given> given;
};

void to_json(nlohmann::json& json, const TrainOptions& options);
void from_json(const nlohmann::json& json, TrainOptions& options);

/// Throws Error that names the first option whose value makes no sense.
void check(const TrainOptions& options);
void check(const Budget& budget);

/// char-rnn's default recipe (Karpathy, 2015).
TrainOptions char_rnn_recipe();

/// Gives `app` the options of `rewind train`; after parsing they are in `command`. `finish` then applies the recipe,
/// over which options win that were given, and checks all values.
void add_train_options(CLI::App& app, TrainCommand& command);
void finish(TrainCommand& command);

/// Whether the option of this name ("--batch") was given.
bool was_given(const TrainCommand& command, const std::string& name);

}  // namespace rw::cli
