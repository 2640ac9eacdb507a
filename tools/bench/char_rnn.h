#pragma once

#include <memory>

#include <rewind/tools/cli/trainer.h>

#include "recurrent.h"

namespace rw::bench {

/// Updates of one run.
constexpr Index char_rnn_updates = 4;

/// char-rnn's recipe: what libtorch's contender begins from. The trainer has made no update yet.
struct CharRnn {
  const cli::TrainOptions& options;
  const CharModel& model;
  const TextData& data;
};
/// Trains on, chunk after chunk. Its result: the losses of the last run.
std::unique_ptr<Network> torch_char_rnn(const CharRnn& recipe);

}  // namespace rw::bench
