#pragma once

#include <memory>
#include <string>

#include <rewind/autograd/tape.h>
#include <rewind/models/module.h>

namespace rw::cli {

/// What `rewind graph` draws: a saved model, or a built-in cell by name.
struct GraphModel {
  std::string file;  // when not empty, the rest but `steps`, `batch` and `seed` is the file's
  std::string cell = "lstm";
  Index steps = 3, layers = 1, in = 8, hidden = 16, batch = 4;
  bool bidirectional = false;
  std::uint64_t seed = 1;

  /// "2 layers of lstm, 500 steps", or the file and the steps.
  std::string name() const;
};

/// A recorded model: the tape's last forward node is a scalar loss.
struct RecordedModel {
  std::unique_ptr<Module> model;
  Tape tape;
  Tensor loss;
};

/// Records the forward pass over `steps` steps of random input. Throws Error for sizes below 1, a cell that does not
/// exist, and a file that is no model.
RecordedModel record_model(const GraphModel& what);

}  // namespace rw::cli
