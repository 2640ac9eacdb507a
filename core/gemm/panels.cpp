#include <array>
#include <cstring>
#include <type_traits>
#include <utility>

#include <rewind/core/gemm/panels.h>
#include <rewind/core/gemm/vectors.h>
#include <rewind/core/vector_loop.h>

namespace rw::detail {

#if defined(__x86_64__)

namespace avx512::panel {
namespace {
constexpr int most_rows = 14;  // 28 sums, two vectors of b and one of a
#define REWIND_TARGET REWIND_TARGET_GEMM_AVX512
#include <rewind/core/gemm/panels.inc>
#undef REWIND_TARGET
}  // namespace
}  // namespace avx512::panel

namespace avx2::panel {
namespace {
constexpr int most_rows = 6;  // 12 sums, two vectors of b and one of a
#define REWIND_TARGET REWIND_TARGET_GEMM_AVX2
#include <rewind/core/gemm/panels.inc>
#undef REWIND_TARGET
}  // namespace
}  // namespace avx2::panel

namespace {

template <class T>
const PanelKernels<T>* found() {
  constexpr bool wide = std::is_same_v<T, double>;
  static constexpr auto by_avx512 =
      avx512::panel::kernels_of<std::conditional_t<wide, avx512::Doubles, avx512::Floats>>();
  static constexpr auto by_avx2 = avx2::panel::kernels_of<std::conditional_t<wide, avx2::Doubles, avx2::Floats>>();
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
