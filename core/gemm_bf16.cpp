#include <rewind/core/gemm_bf16.h>
#include <rewind/core/vector_loop.h>

namespace rw::detail {

bool has_bf16() {
#if defined(__x86_64__)
  return active_isa() == Isa::avx512 && __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

}  // namespace rw::detail
