#pragma once

#include <functional>
#include <optional>
#include <string>

#include <rewind/core/dtype.h>

namespace rw::bench {

/// The most memory, in MB, that the process has while `run` runs, over what it had before.
double peak_of(const std::function<void()>& run);

/// What one contender takes, measured in a process of its own: this program, started with the arguments
/// "--peak-of WHAT CONTENDER SIZE". `what`: "train" or "checkpoint". Throws std::runtime_error when that fails.
double peak_in_a_process(const std::string& program, const std::string& what, const std::string& contender, Index size);
/// Does that and gives the exit code when these are the arguments.
std::optional<int> measure_peak(int argc, char** argv);

/// What such a process measures: of an LSTM's training step over T steps; of back-propagation with checkpoints.
double memory_peak(const std::string& contender, Index T);
double checkpoint_peak(const std::string& contender, Index T);

}  // namespace rw::bench
