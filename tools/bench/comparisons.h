#pragma once

// All comparisons, a function a file.

#include <vector>

#include "comparison.h"

namespace rw::bench {

std::vector<Comparison> recurrent_comparisons();
std::vector<Comparison> growth_comparisons();
std::vector<Comparison> thread_comparisons();
std::vector<Comparison> overhead_comparisons();
std::vector<Comparison> gradbench_comparisons();
std::vector<Comparison> gradbench_eval_comparisons();
std::vector<Comparison> gemm_comparisons();
std::vector<Comparison> elementwise_comparisons();
std::vector<Comparison> char_rnn_comparisons();
std::vector<Comparison> memory_comparisons();
std::vector<Comparison> cell_comparisons();
std::vector<Comparison> checkpoint_comparisons();
std::vector<Comparison> scan_comparisons();
std::vector<Comparison> lengths_comparisons();
std::vector<Comparison> transform_comparisons();

}  // namespace rw::bench
