#pragma once

// Internal to core/gemm/ and the compiler.

#include <memory>
#include <vector>

#include <rewind/core/dtype.h>

namespace rw::detail {

/// Whether this processor multiplies bf16 numbers (AVX512_BF16).
bool has_bf16();
/// Whether it does so faster than f32 numbers: it has AMX. Tests may say so too.
bool& bf16_is_faster();

/// A product of one shape, c = op(a) op(b) or c += op(a) op(b), that oneDNN runs in bf16, with sums in f32. The numbers
/// of a and b are f32 and bf16 at once: their low 16 bits are zero. The bits depend on the shape alone, not on the
/// number of threads; one thread at a time.
class Bf16Product {
 public:
  /// Strides in elements; c is written with `ldc`.
  Bf16Product(bool ta, bool tb, Index m, Index n, Index k, Index ldb, Index ldc, bool accumulate);
  ~Bf16Product();
  Bf16Product(const Bf16Product&) = delete;
  Bf16Product& operator=(const Bf16Product&) = delete;

  /// Takes op(b) for the runs that follow.
  void pack(const float* b);
  void run(const float* a, Index lda, float* c);
  /// What it holds.
  std::size_t bytes() const;

 private:
  struct Part;
  bool ta_, tb_;
  Index m_, k_, ldb_;
  std::vector<std::unique_ptr<Part>> parts_;  // of the columns
};

}  // namespace rw::detail
