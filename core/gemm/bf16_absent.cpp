// In place of bf16.cpp in a build without oneDNN: products of bf16 numbers run as those of f32, to the same bits.
#include <rewind/core/error.h>
#include <rewind/core/gemm/bf16.h>

namespace rw::detail {

bool has_bf16() { return false; }

bool& bf16_is_faster() {
  static bool faster = false;
  return faster;
}

struct Bf16Product::Part {};

Bf16Product::Bf16Product(bool ta, bool tb, Index m, Index, Index k, Index ldb, Index, bool)
    : ta_(ta), tb_(tb), m_(m), k_(k), ldb_(ldb) {
  throw Error("[gemm] this build of Rewind has no oneDNN, which multiplies bf16 numbers");
}
Bf16Product::~Bf16Product() = default;
void Bf16Product::pack(const float*) {}
void Bf16Product::run(const float*, Index, float*) {}
std::size_t Bf16Product::bytes() const { return 0; }

}  // namespace rw::detail
