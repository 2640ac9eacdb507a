#include <algorithm>
#include <cstdlib>
#include <string_view>

#include <rewind/core/vector_loop.h>

namespace rw {
namespace {

Isa best_isa() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
  if (avx2 && avx512) return Isa::avx512;
  if (avx2) return Isa::avx2;
#endif
  return Isa::baseline;
}

Isa isa_at_start() {
  const char* text = std::getenv("REWIND_ISA");
  const std::string_view asked = text ? text : "";
  if (asked == "baseline") return Isa::baseline;
  if (asked == "avx2") return std::min(Isa::avx2, best_isa());
  return best_isa();
}

}  // namespace

Isa active_isa() {
  static const Isa isa = isa_at_start();
  return isa;
}

}  // namespace rw
