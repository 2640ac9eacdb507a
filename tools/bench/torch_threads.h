#pragma once

#ifdef _OPENMP
#include <omp.h>
#endif

namespace rw::bench {

/// While it lives, libtorch's own loops run in one thread, and OpenBLAS alone has several: of all settings for two
/// threads its best. (An LSTM's step took 89 ms with one thread, 71 so, 78 with threads for the loops alone, and 389
/// with both, whose threads wait for each other by spinning.)
class BlasThreadsAlone {
 public:
#ifdef _OPENMP
  BlasThreadsAlone() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~BlasThreadsAlone() { omp_set_num_threads(before_); }

 private:
  int before_;
#else
  BlasThreadsAlone() {}
#endif
 public:
  BlasThreadsAlone(const BlasThreadsAlone&) = delete;
  BlasThreadsAlone& operator=(const BlasThreadsAlone&) = delete;
};

}  // namespace rw::bench
