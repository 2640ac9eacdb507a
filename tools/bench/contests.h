#pragma once

// All contests, a function a file.

#include <optional>
#include <vector>

#include "contest.h"

namespace rw::bench {

std::vector<Contest> recurrent_contests();
std::vector<Contest> growth_contests();
std::vector<Contest> thread_contests();
std::vector<Contest> overhead_contests();
std::vector<Contest> gradbench_contests();
std::vector<Contest> gemm_contests();
std::vector<Contest> elementwise_contests();
std::vector<Contest> char_rnn_contests();
std::vector<Contest> memory_contests();

/// Memory is measured in a process of its own: this program, started with the arguments "--peak-of CONTENDER T". Does
/// that and returns the exit code when these are its arguments.
std::optional<int> measure_peak(int argc, char** argv);

}  // namespace rw::bench
