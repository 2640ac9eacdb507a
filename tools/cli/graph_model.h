#pragma once

#include <functional>
#include <memory>
#include <string>

#include <rewind/autograd/tape.h>
#include <rewind/models/module.h>

namespace CLI {
class App;
}  // namespace CLI

namespace rw::cli {

/// What `rewind graph` draws and `rewind gradcheck` checks: a saved model, or a built-in cell by name.
struct GraphModel {
  std::string file;  // when not empty, the rest but `steps`, `batch` and `seed` is the file's
  std::string cell = "lstm";
  Index steps = 3, layers = 1, in = 8, hidden = 16, batch = 4;
  bool bidirectional = false;
  std::uint64_t seed = 1;

  /// "2 layers of lstm, 500 steps", or the file and the steps.
  std::string name() const;
};

/// Adds MODEL and the options that say what there is without one to a subcommand; what `model` holds is the default.
void add_model_options(CLI::App& app, GraphModel& model);

/// A model, and its scalar loss over `steps` steps of random input, recorded on any tape. The numbers are the same each
/// time.
struct BuiltModel {
  std::unique_ptr<Module> model;
  std::function<Tensor(Tape&)> loss;
};

/// Throws Error for sizes below 1 or beyond reason, a cell that does not exist, and a file that is no model.
BuiltModel build_model(const GraphModel& what);

/// A recorded model: the tape's last forward node is a scalar loss.
struct RecordedModel {
  std::unique_ptr<Module> model;
  Tape tape;
  Tensor loss;
};

/// Builds it and records the loss. Throws as `build_model` does.
RecordedModel record_model(const GraphModel& what);

}  // namespace rw::cli
