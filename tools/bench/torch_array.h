#pragma once

#include <torch/torch.h>

#include <rewind/core/array.h>

namespace rw::bench {

/// A copy with 32-bit numbers, integers or floats.
inline torch::Tensor to_torch(const Array& a) {
  const std::vector<int64_t> sizes(a.shape().begin(), a.shape().end());
  const auto type = a.dtype() == DType::i32 ? torch::kInt32 : torch::kFloat32;
  return torch::from_blob(const_cast<void*>(a.view().data), sizes, type).clone();
}

}  // namespace rw::bench
