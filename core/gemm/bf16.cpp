#include <algorithm>
#include <cstring>

#include <oneapi/dnnl/dnnl.hpp>

#include <rewind/core/error.h>
#include <rewind/core/gemm/bf16.h>
#include <rewind/core/gemm/one_openmp_thread.h>
#include <rewind/core/threads.h>
#include <rewind/core/vector_loop.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace rw::detail {

bool has_bf16() {
#if defined(__x86_64__)
  return active_isa() == Isa::avx512 && __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

bool& bf16_is_faster() {
  static bool faster = [] {
    constexpr auto amx = static_cast<unsigned>(dnnl_cpu_isa_avx512_core_amx);
    return has_bf16() && (static_cast<unsigned>(dnnl_get_effective_cpu_isa()) & amx) == amx;
  }();
  return faster;
}

namespace {

using Half = std::uint16_t;
using Tag = dnnl::memory::format_tag;
constexpr auto f32 = dnnl::memory::data_type::f32, bf16 = dnnl::memory::data_type::bf16;

const dnnl::engine& engine() {
  static const dnnl::engine one(dnnl::engine::kind::cpu, 0);
  return one;
}

dnnl::memory without_data(const dnnl::memory::desc& desc) { return dnnl::memory(desc, engine(), DNNL_MEMORY_NONE); }

void check(dnnl_status_t status) {
  if (status != dnnl_success) throw Error("[gemm] oneDNN refused a product in bf16");
}

#if defined(__x86_64__)
[[gnu::target("avx512f,avx512bw,avx512vl")]] void upper_halves(Index n, const float* x, Half* y) {
  for (Index i = 0; i < n; i += 16) {
    const auto mask = static_cast<__mmask16>((1u << std::min<Index>(16, n - i)) - 1);
    const __m512i bits = _mm512_maskz_loadu_epi32(mask, x + i);
    _mm512_mask_cvtepi32_storeu_epi16(y + i, mask, _mm512_maskz_srli_epi32(mask, bits, 16));
  }
}
#endif
void upper_halves_baseline(Index n, const float* x, Half* y) {
  for (Index i = 0; i < n; ++i) std::memcpy(y + i, reinterpret_cast<const char*>(x + i) + 2, 2);
}
void to_half(Index n, const float* x, Half* y) {
#if defined(__x86_64__)
  if (active_isa() == Isa::avx512) return upper_halves(n, x, y);
#endif
  upper_halves_baseline(n, x, y);
}

}  // namespace

/// Some columns: a primitive with its memory.
struct Bf16Product::Part {
  Index first;
  dnnl::stream stream{engine()};
  dnnl::matmul product;
  dnnl::reorder packing;
  dnnl::memory a, plain_b, b, c, scratch;

  Part(bool ta, bool tb, Index m, Index k, Index first_column, Index cols, Index ldb, Index ldc, bool accumulate)
      : first(first_column) {
    using Desc = dnnl::memory::desc;
    const Desc src({m, k}, bf16, ta ? dnnl::memory::dims{1, m} : dnnl::memory::dims{k, 1});
    const Desc weights({k, cols}, bf16, Tag::any), dst({m, cols}, f32, dnnl::memory::dims{ldc, 1});
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    if (accumulate) {
      dnnl::post_ops sum;
      sum.append_sum(1);
      attributes.set_post_ops(sum);
    }
#if DNNL_VERSION_MAJOR >= 3
    const dnnl::matmul::primitive_desc pd(engine(), src, weights, dst, attributes);
#else
    const dnnl::matmul::primitive_desc pd(dnnl::matmul::desc(src, weights, dst), attributes, engine());
#endif
    product = dnnl::matmul(pd);
    a = without_data(src);
    b = dnnl::memory(pd.weights_desc(), engine());
    c = without_data(dst);
    scratch = dnnl::memory(pd.scratchpad_desc(), engine());
    const Desc plain({k, cols}, f32, tb ? dnnl::memory::dims{1, ldb} : dnnl::memory::dims{ldb, 1});
    plain_b = without_data(plain);
    packing = dnnl::reorder(plain_b, b);
  }

  void pack(const float* from) {
    const OneOpenMpThread one;
    check(dnnl_memory_set_data_handle(plain_b.get(), const_cast<float*>(from)));
    const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, plain_b.get()}, {DNNL_ARG_TO, b.get()}};
    check(dnnl_primitive_execute(packing.get(), stream.get(), 2, arguments));
  }

  void run(const Half* from, float* to) {
    const OneOpenMpThread one;
    check(dnnl_memory_set_data_handle(a.get(), const_cast<Half*>(from)));
    check(dnnl_memory_set_data_handle(c.get(), to));
    const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_SRC, a.get()},
                                         {DNNL_ARG_WEIGHTS, b.get()},
                                         {DNNL_ARG_DST, c.get()},
                                         {DNNL_ARG_SCRATCHPAD, scratch.get()}};
    check(dnnl_primitive_execute(product.get(), stream.get(), 4, arguments));
  }
};

Bf16Product::Bf16Product(bool ta, bool tb, Index m, Index n, Index k, Index ldb, Index ldc, bool accumulate)
    : ta_(ta), tb_(tb), m_(m), k_(k), ldb_(ldb) {
  // Parts for threads, by the shape alone: each worth 20 us of AMX or more.
  const Index parts = std::clamp<Index>(std::min(m * n * k >> 24, n / 128), 1, 4);
  const Index each = (n / parts + 63) / 64 * 64;
  for (Index first = 0; first < n; first += each)
    parts_.push_back(std::make_unique<Part>(ta, tb, m, k, first, std::min(each, n - first), ldb, ldc, accumulate));
}
Bf16Product::~Bf16Product() = default;

void Bf16Product::pack(const float* b) {
  parallel_for(static_cast<Index>(parts_.size()), [&](Index i) {
    Part& part = *parts_[static_cast<std::size_t>(i)];
    part.pack(b + part.first * (tb_ ? ldb_ : 1));
  });
}

void Bf16Product::run(const float* a, Index lda, float* c) {
  thread_local std::vector<Half> room;
  if (room.size() < static_cast<std::size_t>(m_ * k_)) room.resize(static_cast<std::size_t>(m_ * k_));
  Half* const halves = room.data();
  const Index rows = ta_ ? k_ : m_, cols = ta_ ? m_ : k_;
  const Index each = std::max<Index>(1, (Index{1} << 18) / std::max<Index>(cols, 1));
  parallel_for((rows + each - 1) / each, [&](Index part) {
    for (Index r = part * each; r < std::min(rows, (part + 1) * each); ++r)
      to_half(cols, a + r * lda, halves + r * cols);
  });
  parallel_for(static_cast<Index>(parts_.size()), [&](Index i) {
    Part& part = *parts_[static_cast<std::size_t>(i)];
    part.run(halves, c + part.first);
  });
}

std::size_t Bf16Product::bytes() const {
  std::size_t sum = 0;
  for (const auto& part : parts_) sum += part->b.get_desc().get_size() + part->scratch.get_desc().get_size();
  return sum;
}

}  // namespace rw::detail
