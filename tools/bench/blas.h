#pragma once

#include <optional>
#include <string>
#include <vector>

namespace rw::bench {

/// Which kernels OpenBLAS, whose products libtorch runs, says it uses; empty when it is not loaded.
std::string openblas_core();

/// GFLOP/s of its products with the kernels that OPENBLAS_CORETYPE asks for ("": as the environment has it, "auto":
/// without the variable), on one thread.
struct BlasRate {
  std::string setting, core;
  double rate = 0;
};

/// Measures them, each in processes of their own, since OpenBLAS reads the variable when it is loaded: what the
/// environment says, what OpenBLAS takes by itself, and those kernels that this processor has the instructions for.
/// The fastest comes first, and before others that are less than 2% slower what the environment says.
std::vector<BlasRate> blas_rates(const std::string& program);
/// What such a process does, and its exit code, when it was started as one.
std::optional<int> measure_blas(int argc, char** argv);

/// "SkylakeX 209, Haswell 112".
std::string text_of(const std::vector<BlasRate>& rates);

}  // namespace rw::bench
