#pragma once

#include <rewind/core/dtype.h>

namespace rw::detail {

/// Whether this processor multiplies bf16 numbers (AVX512_BF16).
bool has_bf16();

}  // namespace rw::detail
