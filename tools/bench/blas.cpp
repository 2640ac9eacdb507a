#include "blas.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <stdexcept>

#include <fmt/format.h>

namespace rw::bench {

namespace {

template <class F>
F* loaded(const char* function) {
  return reinterpret_cast<F*>(dlsym(RTLD_DEFAULT, function));
}

// BLAS as Fortran has it: matrices by columns, all by address.
using FortranSgemm = void(const char*, const char*, const int*, const int*, const int*, const float*, const float*,
                          const int*, const float*, const int*, const float*, float*, const int*);

// Seconds of the product of a step of an LSTM of H 512, the quickest of some.
double seconds_of(FortranSgemm* sgemm, int m, int n, int k) {
  const auto numbers = [](int count) { return std::vector<float>(static_cast<std::size_t>(count), 0.5f); };
  const std::vector<float> a = numbers(m * k), b = numbers(k * n);
  std::vector<float> c = numbers(m * n);
  const float one = 1, none = 0;
  double least = 1e300;
  for (int i = 0; i < 60; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    sgemm("N", "N", &n, &m, &k, &one, b.data(), &n, a.data(), &k, &none, c.data(), &n);
    least = std::min(least, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  return least;
}

BlasRate in_a_process(const std::string& program, const std::string& setting) {
  const std::string variable = setting.empty()     ? ""
                               : setting == "auto" ? "unset OPENBLAS_CORETYPE; "
                                                   : fmt::format("export OPENBLAS_CORETYPE={}; ", setting);
  // Of a name that it does not know OpenBLAS says so on standard error, and chooses by itself.
  std::FILE* pipe = popen(fmt::format("{}'{}' --blas-rate 2>/dev/null", variable, program).c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("cannot start " + program);
  BlasRate out{setting, "", 0};
  char core[64] = "";
  if (std::fscanf(pipe, "%lf %63s", &out.rate, core) != 2) out.rate = 0;
  if (pclose(pipe) != 0) out.rate = 0;
  out.core = core;
  return out;
}

std::vector<std::string> settings() {
  std::vector<std::string> out{"", "auto"};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) out.insert(out.end(), {"Haswell", "Zen"});
  if (__builtin_cpu_supports("avx512dq")) out.emplace_back("SkylakeX");
  if (__builtin_cpu_supports("avx512bf16")) out.insert(out.end(), {"Cooperlake", "Sapphirerapids"});
#endif
  return out;
}

}  // namespace

std::string openblas_core() {
  const auto name = loaded<char*()>("openblas_get_corename");
  return name == nullptr ? "" : name();
}

std::optional<int> measure_blas(int argc, char** argv) {
  if (argc != 2 || argv[1] != std::string("--blas-rate")) return std::nullopt;
  const auto sgemm = loaded<FortranSgemm>("sgemm_");
  if (sgemm == nullptr || openblas_core().empty()) return 1;
  if (const auto set = loaded<void(int)>("openblas_set_num_threads")) set(1);
  constexpr int m = 64, n = 2048, k = 512;
  fmt::print("{:.1f} {}\n", 2e-9 * m * n * k / seconds_of(sgemm, m, n, k), openblas_core());
  return 0;
}

std::vector<BlasRate> blas_rates(const std::string& program) {
  std::vector<BlasRate> out;
  for (int round = 0; round < 2; ++round)  // in turn, so that each meets the same moments of a busy machine
    for (const std::string& setting : settings()) {
      const BlasRate found = in_a_process(program, setting);
      const auto known = std::find_if(out.begin(), out.end(), [&](const BlasRate& r) { return r.core == found.core; });
      if (known != out.end())
        known->rate = std::max(known->rate, found.rate);
      else if (found.rate > 0)
        out.push_back(found);
    }
  const auto worth = [](const BlasRate& r) { return r.rate * (r.setting.empty() ? 1.02 : 1); };
  std::stable_sort(out.begin(), out.end(), [&](const BlasRate& a, const BlasRate& b) { return worth(a) > worth(b); });
  return out;
}

std::string text_of(const std::vector<BlasRate>& rates) {
  std::string out;
  for (const BlasRate& r : rates) out += fmt::format("{}{} {:.0f}", out.empty() ? "" : ", ", r.core, r.rate);
  return out;
}

}  // namespace rw::bench
