#include <array>
#include <cstring>
#include <type_traits>
#include <utility>

#include <rewind/core/gemm/panels.h>
#include <rewind/core/gemm/vectors.h>
#include <rewind/core/vector_loop.h>

namespace rw::detail {

#if defined(__x86_64__)

namespace panels_avx512 {
namespace {
using avx512::Doubles, avx512::Floats;
constexpr int most_rows = 14;  // 28 sums, two vectors of b and one of a
#define REWIND_TARGET REWIND_TARGET_GEMM_AVX512
#include <rewind/core/gemm/panels.inc>
#undef REWIND_TARGET
}  // namespace
}  // namespace panels_avx512

namespace panels_avx2 {
namespace {
using avx2::Doubles, avx2::Floats;
constexpr int most_rows = 6;  // 12 sums, two vectors of b and one of a
#define REWIND_TARGET REWIND_TARGET_GEMM_AVX2
#include <rewind/core/gemm/panels.inc>
#undef REWIND_TARGET
}  // namespace
}  // namespace panels_avx2

namespace {

template <class T>
const PanelKernels<T>* found() {
  static constexpr auto by_avx512 = panels_avx512::kernels_of<T>(), by_avx2 = panels_avx2::kernels_of<T>();
  switch (active_isa()) {
    case Isa::avx512: return &by_avx512;
    case Isa::avx2: return &by_avx2;
    default: return nullptr;
  }
}

}  // namespace

#else

namespace {
template <class T>
const PanelKernels<T>* found() {
  return nullptr;
}
}  // namespace

#endif

template <class T>
const PanelKernels<T>* panel_kernels() {
  static const PanelKernels<T>* const kernels = found<T>();
  return kernels;
}
template const PanelKernels<float>* panel_kernels();
template const PanelKernels<double>* panel_kernels();

}  // namespace rw::detail
