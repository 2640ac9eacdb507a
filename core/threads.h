#pragma once

#include <algorithm>
#include <type_traits>
#include <utility>

#include <rewind/core/dtype.h>

namespace rw {

/// How many threads large operations may use, the caller's own included. At the start: the environment variable
/// REWIND_THREADS, or the number of processors. Results have the same bits for any number: helpers round as the caller
/// does, too, and treat subnormal numbers alike (see FlushSubnormals). A child of fork has its own.
int threads();
/// Throws Error for n < 1, or when called from within a parallel_for.
void set_threads(int n);

namespace detail {
using Block = void (*)(void* context, Index block);
/// Whether a parallel_for would run serially here: one thread, or already within one.
bool runs_serially();
void run_parallel(Index blocks, Block run, void* context);
/// Whether helpers wait awake, so that a job of some 10 us pays; otherwise it takes some 60 us to wake one.
bool helpers_are_awake();
}  // namespace detail

/// Runs f(0), ..., f(blocks - 1), each once, on the process's worker pool and the caller; returns when all are done.
/// Within another parallel_for, or while another thread uses the pool, they run one after another in the caller. An
/// exception of f is rethrown in the caller (the first of several); blocks that have not begun by then are left out.
/// Allocates nothing once the pool has started.
template <class F>
void parallel_for(Index blocks, F&& f) {
  if (blocks <= 1 || detail::runs_serially()) {
    for (Index i = 0; i < blocks; ++i) f(i);
    return;
  }
  using Fn = std::remove_reference_t<F>;
  detail::run_parallel(
      blocks, [](void* context, Index block) { (*static_cast<Fn*>(context))(block); },
      const_cast<void*>(static_cast<const void*>(&f)));
}

namespace detail {

inline constexpr Index parallel_from = 1 << 17;  // elements; below this a second thread costs more than it saves

/// Calls f(begin, end) for parts of [0, n), each of `each`, on several threads when there are `work` elements enough.
template <class F>
void parallel_parts(Index work, Index n, Index each, F f) {
  if (work < parallel_from || n < 2) return f(Index{0}, n);
  parallel_for((n + each - 1) / each, [&](Index b) { f(b * each, std::min(n, (b + 1) * each)); });
}

}  // namespace detail

}  // namespace rw
