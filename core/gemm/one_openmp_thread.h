#pragma once

// Internal to core/gemm/.

#include <dlfcn.h>

namespace rw::detail {

/// While one lives, oneDNN uses the calling thread alone. It shares a product among as many OpenMP threads as the
/// caller may use, and they wait for each other by spinning: on a busy machine a hundred times slower than one thread.
/// The OpenMP that it has loaded is found at run time, because a program linked with another one would set the wrong
/// one. Costs 7 ns.
class OneOpenMpThread {
 public:
  OneOpenMpThread() {
    if (!get || !set || (before_ = get()) == 1) return;
    set(1);
  }
  ~OneOpenMpThread() {
    if (before_ > 1) set(before_);
  }
  OneOpenMpThread(const OneOpenMpThread&) = delete;
  OneOpenMpThread& operator=(const OneOpenMpThread&) = delete;

 private:
  static inline const auto get = reinterpret_cast<int (*)()>(dlsym(RTLD_DEFAULT, "omp_get_max_threads"));
  static inline const auto set = reinterpret_cast<void (*)(int)>(dlsym(RTLD_DEFAULT, "omp_set_num_threads"));
  int before_ = 1;
};

}  // namespace rw::detail
