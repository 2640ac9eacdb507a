#include <cstdint>
#include <cstring>

#include <rewind/autograd/compile/kernel/copy_rows.h>
#include <rewind/core/vector_loop.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace rw::ir {
namespace {

void copy_rows_baseline(Index rows, Index bytes, const std::byte* from, Index from_step, std::byte* to, Index to_step) {
  for (; rows > 0; --rows, from += from_step, to += to_step) std::memcpy(to, from, static_cast<std::size_t>(bytes));
}
void fill_baseline(Index bytes, const std::byte* from, std::byte* to) {
  std::memcpy(to, from, static_cast<std::size_t>(bytes));
  std::memset(to + bytes, 0, static_cast<std::size_t>((64 - bytes % 64) % 64));
}
#if defined(__x86_64__)
[[gnu::target("avx512f,avx512bw")]] void copy_rows_avx512(Index rows, Index bytes, const std::byte* from,
                                                          Index from_step, std::byte* to, Index to_step) {
  const auto tail = static_cast<__mmask64>((std::uint64_t{1} << (bytes % 64)) - 1);
  const Index whole = bytes / 64 * 64;
  for (; rows > 0; --rows, from += from_step, to += to_step) {
    for (Index i = 0; i < whole; i += 64) _mm512_storeu_si512(to + i, _mm512_loadu_si512(from + i));
    if (tail != 0) _mm512_mask_storeu_epi8(to + whole, tail, _mm512_maskz_loadu_epi8(tail, from + whole));
  }
}
[[gnu::target("avx512f,avx512bw")]] void fill_avx512(Index bytes, const std::byte* from, std::byte* to) {
  const auto tail = static_cast<__mmask64>((std::uint64_t{1} << (bytes % 64)) - 1);
  const Index whole = bytes / 64 * 64;
  for (Index i = 0; i < whole; i += 64) _mm512_storeu_si512(to + i, _mm512_loadu_si512(from + i));
  if (tail != 0) _mm512_storeu_si512(to + whole, _mm512_maskz_loadu_epi8(tail, from + whole));
}
#endif
RowCopies best_copies() {
#if defined(__x86_64__)
  if (active_isa() == Isa::avx512) return {copy_rows_avx512, fill_avx512};
#endif
  return {copy_rows_baseline, fill_baseline};
}

}  // namespace

const RowCopies row_copies = best_copies();

}  // namespace rw::ir
