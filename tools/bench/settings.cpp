#include <cstdlib>
#include <dlfcn.h>
#include <filesystem>
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
#include <rewind/core/vector_loop.h>

#include "blas.h"
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

constexpr const char* measured = "REWIND_BENCH_BLAS";  // what was measured, for the process that uses it

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
  if (openblas_core().empty() || std::getenv(measured) != nullptr) return;
  const std::vector<BlasRate> rates = blas_rates(std::filesystem::read_symlink("/proc/self/exe").string());
  setenv(measured, text_of(rates).c_str(), 1);
  if (rates.empty() || rates[0].setting.empty()) return;
  if (rates[0].setting == "auto")
    unsetenv("OPENBLAS_CORETYPE");
  else
    setenv("OPENBLAS_CORETYPE", rates[0].setting.c_str(), 1);
  execv("/proc/self/exe", argv);
}

Machine machine() {
  Machine m;
  // Processors of different making may have one name.
  const char* const widest = active_isa() == Isa::avx512 ? ", AVX-512" : active_isa() == Isa::avx2 ? ", AVX2" : "";
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.starts_with("model name")) m.processor = line.substr(line.find(':') + 2) + widest;
  m.cores = cores();
  m.compiler = __VERSION__;
  const dnnl_version_t* v = dnnl_version();
  m.dnnl = fmt::format("oneDNN {}.{}.{}", v->major, v->minor, v->patch);
  m.torch = torch_version();
  const auto config = loaded<char*()>("openblas_get_config");
  if (config != nullptr) m.blas = fmt::format("{}, {} kernels", config(), openblas_core());
  const char* rates = std::getenv(measured);
  if (config != nullptr && rates != nullptr) m.blas += fmt::format(" (GFLOP/s of one thread: {})", rates);
  return m;
}

}  // namespace rw::bench
