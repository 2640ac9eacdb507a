#pragma once

// All contests, a function a file.

#include <vector>

#include "contest.h"

namespace rw::bench {

std::vector<Contest> recurrent_contests();
std::vector<Contest> growth_contests();
std::vector<Contest> thread_contests();
std::vector<Contest> overhead_contests();
std::vector<Contest> gradbench_contests();
std::vector<Contest> gradbench_eval_contests();
std::vector<Contest> gemm_contests();
std::vector<Contest> elementwise_contests();
std::vector<Contest> char_rnn_contests();
std::vector<Contest> memory_contests();
std::vector<Contest> cell_contests();
std::vector<Contest> checkpoint_contests();

}  // namespace rw::bench
