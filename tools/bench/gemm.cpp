// Matrix products of the cells' shapes: Rewind's gemm, the library call under it, OpenBLAS, and what the processor's
// multipliers could do at most.

#include <dlfcn.h>
#include <immintrin.h>

#include <fmt/format.h>
#include <oneapi/dnnl/dnnl.h>

#include <rewind/core/gemm/gemm.h>
#include <rewind/core/threads.h>

#include "comparisons.h"
#include "recurrent.h"

namespace rw::bench {

namespace {

struct Product {
  bool ta, tb;
  Index m, n, k;
  const char* use;

  Index lda() const { return ta ? m : k; }
  Index ldb() const { return tb ? k : n; }
  double flops() const { return 2 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k); }
};

struct Matrices {
  std::vector<float> a, b, c;
  explicit Matrices(const Product& p) {
    const auto fill = [](std::vector<float>& x, Index n) {
      x.resize(static_cast<std::size_t>(n));
      for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 7919 % 1013) / 1013 - 0.5f;
    };
    fill(a, p.m * p.k), fill(b, p.k * p.n), fill(c, p.m * p.n);
  }
};

template <class F>
Contender contender(const char* name, const Product& p, F f) {
  const auto m = std::make_shared<Matrices>(p);
  return {name, [m, p, f] { f(p, *m); },
          [m] {
            return Result{{"c", sample(m->c.data(), static_cast<Index>(m->c.size()))}};
          }};
}

// Sums of products that never leave the registers, enough of them to hide their latency.
[[gnu::target("avx512f")]] void multiply_512(Index rounds) {
  __m512 sums[16];
  for (__m512& s : sums) s = _mm512_set1_ps(0);
  __m512 x = _mm512_set1_ps(0.5f);
  for (Index r = 0; r < rounds; ++r) {
    asm volatile("" : "+v"(x));
    for (__m512& s : sums) s = _mm512_fmadd_ps(s, x, x);
  }
  for (__m512& s : sums) asm volatile("" ::"v"(s));
}
[[gnu::target("avx2,fma")]] void multiply_256(Index rounds) {
  __m256 sums[12];
  for (__m256& s : sums) s = _mm256_set1_ps(0);
  __m256 x = _mm256_set1_ps(0.5f);
  for (Index r = 0; r < rounds; ++r) {
    asm volatile("" : "+x"(x));
    for (__m256& s : sums) s = _mm256_fmadd_ps(s, x, x);
  }
  for (__m256& s : sums) asm volatile("" ::"x"(s));
}

// About as many FLOPs as the product.
void multiply(const Product& p, int threads) {
  const bool wide = __builtin_cpu_supports("avx512f") != 0;
  const double each = wide ? 2 * 16 * 16 : 2 * 12 * 8;
  const auto rounds = static_cast<Index>(p.flops() / threads / each);
  parallel_for(threads, [&](Index) { wide ? multiply_512(rounds) : multiply_256(rounds); });
}

using CblasSgemm = void(int order, int ta, int tb, int m, int n, int k, float alpha, const float* a, int lda,
                        const float* b, int ldb, float beta, float* c, int ldc);

Field field(const Product& p, const Setting& setting) {
  Field out;
  out.contenders.push_back(contender("Rewind gemm", p, [](const Product& q, Matrices& m) {
    gemm(q.ta, q.tb, q.m, q.n, q.k, m.a.data(), q.lda(), m.b.data(), q.ldb(), m.c.data(), q.n, false);
  }));
  out.contenders.push_back(contender("dnnl_sgemm", p, [](const Product& q, Matrices& m) {
    dnnl_sgemm(q.ta ? 'T' : 'N', q.tb ? 'T' : 'N', q.m, q.n, q.k, 1, m.a.data(), q.lda(), m.b.data(), q.ldb(), 0,
               m.c.data(), q.n);
  }));
  if (const auto sgemm = reinterpret_cast<CblasSgemm*>(dlsym(RTLD_DEFAULT, "cblas_sgemm"))) {
    out.contenders.push_back(contender("OpenBLAS", p, [sgemm](const Product& q, Matrices& m) {
      const auto i = [](Index x) { return static_cast<int>(x); };
      constexpr int row_major = 101, plain = 111, transposed = 112;
      sgemm(row_major, q.ta ? transposed : plain, q.tb ? transposed : plain, i(q.m), i(q.n), i(q.k), 1, m.a.data(),
            i(q.lda()), m.b.data(), i(q.ldb()), 0, m.c.data(), i(q.n));
    }));
  } else {
    out.absent.emplace_back("OpenBLAS: it comes with libtorch, which was not found");
  }
  if (__builtin_cpu_supports("fma"))
    out.contenders.push_back({"the multipliers' peak", [p, threads = setting.threads] { multiply(p, threads); }});
  return out;
}

}  // namespace

std::vector<Comparison> gemm_comparisons() {
  // Of an LSTM with N = H / 4 or so: a step's product, that of all steps' inputs, of the gradient of h, and of the
  // weights.
  const Product products[] = {
      {false, false, 1, 64, 16, "step"},
      {false, false, 16, 128, 32, "step"},
      {false, false, 32, 512, 128, "step"},
      {false, false, 64, 1024, 256, "step"},
      {false, false, 64, 2048, 512, "step"},
      {false, false, 128, 4096, 1024, "step"},
      {false, false, 1, 2048, 512, "step"},
      {false, false, 3200, 2048, 512, "inputs"},
      {false, true, 32, 128, 512, "gradient of h"},
      {false, true, 64, 512, 2048, "gradient of h"},
      {true, false, 128, 512, 1600, "gradient of R"},
      {true, false, 512, 2048, 3200, "gradient of R"},
  };
  std::vector<Comparison> all;
  for (const Product& p : products) {
    Comparison c;
    c.name = fmt::format("gemm/{}/{}x{}x{}", p.use, p.m, p.n, p.k);
    c.note = "m x n x k";
    c.unit = "GFLOP/s", c.scale = p.flops() * 1e-9, c.rate = true;
    c.work = p.flops();
    c.all_cores = p.flops() > 1e7, c.quick = p.m == 32;
    c.make = [p](const Setting& setting) { return field(p, setting); };
    all.push_back(std::move(c));
  }
  return all;
}

}  // namespace rw::bench
