#pragma once

#include <rewind/core/dtype.h>

// What packing (gemm_pack.cpp) and the product over what is packed (gemm_packed.cpp) agree on. Internal to core/.

/// Of functions that are called only where `has_packed_gemm`.
#define REWIND_TARGET_PANELS [[gnu::target("avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]]

namespace rw::detail {

/// Columns of a panel, two vectors, and how much of k it has: so much fits the first-level cache.
inline constexpr Index panel_width = 32, panel_depth = 256;

inline Index panels(Index columns) { return (columns + panel_width - 1) / panel_width; }

}  // namespace rw::detail
