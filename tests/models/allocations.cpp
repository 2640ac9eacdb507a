// A second identical training step takes nothing from the heap. All of malloc's family is counted, in this thread, but
// for what happens within calls into oneDNN, which allocates by itself.
#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/compile/compile.h>
#include <rewind/models/bptt/truncated.h>
#include <rewind/models/cells/any_cell.h>
#include <rewind/models/cells/lstm.h>
#include <rewind/models/layers/linear.h>
#include <rewind/models/optim/clip.h>
#include <rewind/models/optim/optimizer.h>
#include <rewind/models/sequence/stack.h>
#include <rewind/models/sequence/unroll.h>
#include <rewind/ops/loss.h>
#include <rewind/ops/view.h>

#include "../sanitized.h"

#if defined(__GLIBC__) && !defined(REWIND_SANITIZED)  // sanitizers have a malloc of their own

#include <dlfcn.h>

namespace {
thread_local int allocations = 0;
thread_local int paused = 0;
void count() { allocations += paused == 0 ? 1 : 0; }
}  // namespace

extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);

void* malloc(std::size_t n) { return count(), __libc_malloc(n); }
void* calloc(std::size_t n, std::size_t size) { return count(), __libc_calloc(n, size); }
void* realloc(void* p, std::size_t n) { return count(), __libc_realloc(p, n); }
void* aligned_alloc(std::size_t alignment, std::size_t n) { return count(), __libc_memalign(alignment, n); }
void* memalign(std::size_t alignment, std::size_t n) { return count(), __libc_memalign(alignment, n); }

// Named so that the linker keeps oneDNN, whose function below is found behind ours.
const void* dnnl_version(void);
const void* (*const volatile keep_dnnl)() = dnnl_version;

int dnnl_sgemm(char ta, char tb, std::int64_t m, std::int64_t n, std::int64_t k, float alpha, const float* a,
               std::int64_t lda, const float* b, std::int64_t ldb, float beta, float* c, std::int64_t ldc) {
  static const auto real = reinterpret_cast<decltype(&dnnl_sgemm)>(dlsym(RTLD_NEXT, "dnnl_sgemm"));
  ++paused;
  const int status = real(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
  --paused;
  return status;
}
}

using namespace rw;

namespace {

constexpr Index T = 12, N = 4, symbols = 7, H = 16;

Array some_indices(std::uint64_t seed) {
  Rng rng(seed);
  Array a({T, N}, DType::i32);
  for (std::int32_t& x : a.span<std::int32_t>()) x = static_cast<std::int32_t>(rng.below(symbols));
  return a;
}

template <Cell C>
int allocations_of_the_third_step(const C& cell) {
  Rng rng(2);
  const Linear head(H, symbols, rng);
  std::vector<NamedParameter> parameters = cell.parameters();
  for (const NamedParameter& p : head.parameters()) parameters.push_back(p);
  Adam adam(parameters);
  TruncatedBptt bptt(cell, N);
  const Array x = some_indices(1), y = some_indices(2);
  int count = -1;
  for (int step = 0; step < 3; ++step) {
    const int before = allocations;
    const auto& states = bptt.unroll(x);
    const Tensor logits = head(outputs(cell, states));
    backward(cross_entropy(logits, bptt.tape().constant(y)));
    clip_grad_norm(parameters, 1);
    adam.step();
    count = allocations - before;
  }
  return count;
}

}  // namespace

TEST_CASE("the counter counts") {
  const int before = allocations;
  const auto x = std::make_unique<Array>(Shape{100});
  CHECK(allocations - before == 2);
  CHECK(x->size() == 100);
}

TEST_CASE("a repeated training step of each cell takes nothing from the heap") {
  Rng rng(1);
  for (const std::string_view name : cell_names()) {
    CAPTURE(std::string(name));
    CHECK(allocations_of_the_third_step(make_cell(name, symbols, H, rng)) == 0);
  }
  CHECK(allocations_of_the_third_step(LstmCell(symbols, H, rng)) == 0);
}

TEST_CASE("so does one of a stack with dropout") {
  Rng rng(1);
  std::vector<AnyCell> layers;
  for (int i = 0; i < 3; ++i) layers.push_back(make_cell("lstm", i == 0 ? symbols : H, H, rng));
  CHECK(allocations_of_the_third_step(Stack<AnyCell>(std::move(layers), {.dropout = 0.3})) == 0);
}

TEST_CASE("so does the replay of a compiled step, its state carried from call to call") {
  Rng rng(1);
  const LstmCell cell(symbols, H, rng);
  const Linear head(H, symbols, rng);
  const Array x = some_indices(1), y = some_indices(2);
  for (const Precision precision : {Precision::full, Precision::bf16}) {
    Tape tape;
    LstmCell::State state = cell.zero_state(tape, N);
    auto step = compile(
        [&](Tape&, Tensor in, Tensor targets, LstmCell::State s) {
          const auto states = unroll(cell, in, s);
          const Tensor loss = cross_entropy(head(outputs(cell, states)), targets);
          backward(loss);
          return std::pair(loss, states.back());
        },
        CompileOptions{.matmul = precision, .force_bf16 = true}, x, y, state);
    int count = -1;
    for (int i = 0; i < 3; ++i) {
      const int before = allocations;
      state = step(x, y, state).second;
      count = allocations - before;
    }
    CHECK(count == 0);
  }
}

#else

TEST_CASE("allocations are counted in builds without sanitizers") { CHECK(true); }

#endif
