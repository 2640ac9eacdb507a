#include <cstdlib>
#include <dlfcn.h>
#include <fstream>
#include <limits>
#include <malloc.h>
#include <sched.h>
#include <string>
#include <unistd.h>

#include <fmt/format.h>
#include <oneapi/dnnl/dnnl.h>

#ifdef _OPENMP
#include <omp.h>
#endif

#include <rewind/core/threads.h>

#include "peers.h"
#include "settings.h"

namespace rw::bench {

namespace {

template <class F>
F* loaded(const char* function) {
  return reinterpret_cast<F*>(dlsym(RTLD_DEFAULT, function));
}

// The cores that this process may use, as it was started.
const cpu_set_t& allowed() {
  static const cpu_set_t set = [] {
    cpu_set_t s;
    sched_getaffinity(0, sizeof s, &s);
    return s;
  }();
  return set;
}

[[maybe_unused]] void pin(int to) {
  for (int core = 0, i = 0; core < CPU_SETSIZE; ++core) {
    if (!CPU_ISSET(core, &allowed()) || i++ != to) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(core, &one);
    sched_setaffinity(0, sizeof one, &one);
  }
}

std::string openblas_core() {
  const auto name = loaded<char*()>("openblas_get_corename");
  return name == nullptr ? "" : name();
}

const char* best_openblas_core() {
  if (__builtin_cpu_supports("avx512bf16")) return "Cooperlake";
  if (__builtin_cpu_supports("avx512dq")) return "SkylakeX";
  if (__builtin_cpu_supports("avx2")) return "Haswell";
  return nullptr;
}

}  // namespace

int cores() { return CPU_COUNT(&allowed()); }
int last_core() {
  int last = 0;
  for (int core = 0; core < CPU_SETSIZE; ++core)
    if (CPU_ISSET(core, &allowed())) last = core;
  return last;
}

void use_threads(int n) {
  sched_setaffinity(0, sizeof(cpu_set_t), &allowed());
  set_threads(n);
  parallel_for(n, [](Index) {});  // its threads start now, free to go where they like
  if (const auto set = loaded<void(int)>("openblas_set_num_threads")) set(n);
  torch_set_threads(n);
#ifdef _OPENMP
  omp_set_num_threads(n);
#pragma omp parallel num_threads(n)
  if (n == 1 || omp_get_thread_num() > 0) pin(omp_get_thread_num());
#endif
}

void take_best_settings(char** argv) {
  // Memory goes back to the system at the end, not after every large tensor.
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
  const std::string core = openblas_core();
  const char* best = best_openblas_core();
  if ((core != "Prescott" && core != "Generic") || best == nullptr || std::getenv("OPENBLAS_CORETYPE") != nullptr)
    return;
  setenv("OPENBLAS_CORETYPE", best, 1);
  execv("/proc/self/exe", argv);
}

Machine machine() {
  Machine m;
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.starts_with("model name")) m.processor = line.substr(line.find(':') + 2);
  m.cores = cores();
  m.compiler = __VERSION__;
  const dnnl_version_t* v = dnnl_version();
  m.dnnl = fmt::format("oneDNN {}.{}.{}", v->major, v->minor, v->patch);
  m.torch = torch_version();
  const auto config = loaded<char*()>("openblas_get_config");
  if (config != nullptr) m.blas = fmt::format("{}, {} kernels", config(), openblas_core());
  return m;
}

}  // namespace rw::bench
