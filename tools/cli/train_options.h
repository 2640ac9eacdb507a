#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <rewind/core/dtype.h>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace rw::cli {

/// What decides the numbers of a training run, and is therefore kept in its checkpoint.
struct TrainOptions {
  std::string cell = "lstm";
  Index layers = 1, hidden = 256, embedding = 64;
  double dropout = 0;

  Index batch = 8, sequence = 64, shards = 2;
  /// Steps of each shard by itself, on a copy of the model, between two meetings of all; 0: shards share every step.
  Index local_steps = 0;
  bool eager = false, portable_bits = false;
  double held_out = 0.05;

  std::string optimizer = "adam", schedule = "cosine";
  double rate = 5e-3, decay = 0.97;
  Index decay_after = 10, warm_up = 0, patience = 2;
  double clip = 1, clip_value = 0;  // 0: none
  double average = 0;               // 0: none
  Index early_stop = 0;             // 0: never

  std::string init = "default";
  double init_scale = 0.08;
  std::uint64_t seed = 1;

  /// Whether the held-out loss after each epoch decides something.
  bool looks() const { return schedule == "plateau" || early_stop > 0; }
};

/// Where a run ends: one of them, the others are 0.
struct Budget {
  double epochs = 0, seconds = 0;
  Index steps = 0;
};

/// Where a run reads and writes; empty: nowhere. Kept in a checkpoint as absolute paths.
struct RunFiles {
  std::vector<std::string> texts;
  std::string out, checkpoint, curve;
};

/// Everything the command line says.
struct TrainCommand {
  TrainOptions options;
  Budget budget;
  RunFiles files;
  std::string resume, recipe;
  int threads = 0;
  /// Updates after which this run stops as if interrupted; 0: none.
  Index pause_after = 0;
  bool quiet = false;

  /// One of `options` on the command line: its name, whether it was given, and how its value is taken over.
  struct Given {
    std::string name;
    const CLI::Option* option;
    std::function<void(const TrainOptions& from, TrainOptions& to)> copy;
  };
  std::vector<Given> given;
};

/// Throws Error that names the first option whose value makes no sense.
void check(const TrainOptions& options);
void check(const Budget& budget);

/// char-rnn's default recipe (Karpathy, 2015).
TrainOptions char_rnn_recipe();

/// Gives `app` the options of `rewind train`; after parsing they are in `command`.
void add_train_options(CLI::App& app, TrainCommand& command);

/// Completes a command: the recipe, over which options win that were given; defaults. Throws Error for values that make
/// no sense.
void complete(TrainCommand& command);
/// Completes a command that resumes `saved`, read from a checkpoint: what was given about the run's end and its files
/// wins. Throws Error for an option that a resumed run cannot change.
void complete(TrainCommand& command, const TrainCommand& saved);

/// Makes a batch, then a sequence, that was not given smaller for a text that would give less than 20 chunks.
void fit_to_text(TrainCommand& command, Index characters);

}  // namespace rw::cli
