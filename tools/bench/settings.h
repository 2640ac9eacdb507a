#pragma once

#include <string>

namespace rw::bench {

/// Threads of everybody: Rewind's pool, OpenMP's (oneDNN, libtorch), OpenBLAS's and libtorch's own. OpenMP's are
/// pinned, one to a core; the caller only when it is alone, since it is one of all these teams.
void use_threads(int n);
int cores();
int last_core();

/// The best settings of the peers that are read when a program starts, so it starts itself anew with them: the kernels
/// of OpenBLAS that are fastest here, which are measured. OpenBLAS takes processors that came after it for older ones,
/// or is told so by OPENBLAS_CORETYPE, and is then up to 4 times slower. Returns when nothing is to be set.
void take_best_settings(char** argv);

/// What was measured where: processor, compiler, libraries and settings.
struct Machine {
  std::string processor, compiler, dnnl, torch, blas;
  int cores = 1;
};
Machine machine();

}  // namespace rw::bench
