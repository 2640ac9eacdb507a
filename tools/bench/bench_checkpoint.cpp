// Back-propagation through all of a long sequence in little memory: the table of budgets of CheckpointedBptt beside
// plain back-propagation, one thread, f32, loss on the last state. Memory is the most that the heap held during a
// backward, above what it held before: tapes, stored states, gradients' sums; not inputs, weights and their gradients.
// usage: bench_checkpoint [steps] [rounds]

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <ctime>
#include <malloc.h>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include <rewind/rewind.h>

// ---- The heap, counted: glibc's own functions under other names -----------------------------------------------------

namespace {
std::atomic<std::size_t> held{0}, most{0};

void* counted(void* p) {
  if (p == nullptr) return p;
  const std::size_t now = held += malloc_usable_size(p);
  std::size_t seen = most;
  while (now > seen && !most.compare_exchange_weak(seen, now)) {
  }
  return p;
}
}  // namespace

extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
void __libc_free(void*);

void* malloc(std::size_t size) { return counted(__libc_malloc(size)); }
void* calloc(std::size_t count, std::size_t size) { return counted(__libc_calloc(count, size)); }
void* aligned_alloc(std::size_t align, std::size_t size) { return counted(__libc_memalign(align, size)); }
void* memalign(std::size_t align, std::size_t size) { return counted(__libc_memalign(align, size)); }
int posix_memalign(void** p, std::size_t align, std::size_t size) {
  *p = counted(__libc_memalign(align, size));
  return *p == nullptr ? 12 : 0;
}
void free(void* p) {
  if (p != nullptr) held -= malloc_usable_size(p);
  __libc_free(p);
}
void* realloc(void* p, std::size_t size) {
  if (p != nullptr) held -= malloc_usable_size(p);
  return counted(__libc_realloc(p, size));
}
}

namespace {

using rw::Index;

constexpr Index batch = 8, width = 128, block = 8;

struct Row {
  double bytes = 0, seconds = 0;
};

// `make` gives what runs one backward, and holds its memory as long as it lives.
template <class Make>
Row measure(Make&& make, int rounds) {
  Row row;
  const std::size_t before = held;
  most = before;
  auto step = make();
  step();
  row.bytes = static_cast<double>(most - before);
  std::vector<double> times;
  for (int i = 0; i < rounds; ++i) {
    const std::clock_t start = std::clock();  // of the processor: a busy machine does no harm
    step();
    times.push_back(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
  }
  std::sort(times.begin(), times.end());
  row.seconds = times[times.size() / 2];
  return row;
}

rw::Tensor loss_of(const rw::LstmCell::State& last) { return rw::mean(rw::square(last.h)); }

}  // namespace

int main(int argc, char** argv) {
  const Index steps = argc > 1 ? std::max(1, std::atoi(argv[1])) : 10'000;
  const int rounds = argc > 2 ? std::max(1, std::atoi(argv[2])) : 3;
  rw::set_threads(1);
  rw::Rng rng(1);
  const rw::LstmCell cell(width, width, rng);
  const rw::Array x = rw::uniform(rng, {steps, batch, width}, -1, 1);
  {
    rw::CheckpointedBptt warm_up(cell, batch, {.states = 100});  // kernels are made, threads begin
    warm_up.backward(x, loss_of);
  }

  std::vector<rw::LstmCell::State> states;
  const auto plain = [&](bool in_blocks) {
    return measure(
        [&] {
          return [&, in_blocks, tape = std::make_shared<rw::Tape>()] {
            tape->clear();
            const rw::Tensor in = tape->constant(x);
            if (in_blocks)
              states = rw::unroll_in_blocks(cell, in, cell.zero_state(*tape, batch), block);
            else
              rw::unroll(cell, in, cell.zero_state(*tape, batch), states);
            rw::backward(loss_of(states.back()));
          };
        },
        rounds);
  };
  // x on the tape is an input.
  const double input = static_cast<double>(x.size()) * sizeof(float);
  const Row whole = plain(false), blocks = plain(true);
  cell.zero_grad();
  {
    rw::Tape tape;
    rw::backward(loss_of(rw::unroll_in_blocks(cell, tape.constant(x), cell.zero_state(tape, batch), block).back()));
  }
  const rw::Array expected = cell.parameter("R").grad();

  const double base = whole.bytes - input;
  fmt::print("LSTM, T {} N {} H {}, f32, loss on the last state; plain back-propagation: {:.0f} MB, {:.2f} s\n\n",
             steps, batch, width, base / 1e6, whole.seconds);
  fmt::print("| budget | bytes | of plain's | steps on the tape | stored states | forward runs | time of plain's |\n");
  fmt::print("|---|---|---|---|---|---|---|\n");
  fmt::print("| plain, in blocks of {} | {:.0f} | {:.2f}% | {} | | 1 | {:.2f} |\n", block, blocks.bytes - input,
             100 * (blocks.bytes - input) / base, steps, blocks.seconds / whole.seconds);
  for (const double share : {0.1, 0.03, 0.015, 0.01, 0.005, 0.003, 0.002, 0.0015}) {
    rw::CheckpointPlan plan;
    bool same = false;
    const Row row = measure(
        [&] {
          return [&, bptt = std::make_shared<rw::CheckpointedBptt<rw::LstmCell>>(
                         cell, batch, rw::CheckpointOptions{.bytes = static_cast<std::size_t>(share * base)})] {
            cell.zero_grad();
            bptt->backward(x, loss_of);
            plan = bptt->plan();
            same = cell.parameter("R").grad() == expected;
          };
        },
        rounds);
    fmt::print("| {:.2f}% | {:.0f} | {:.2f}% | {} | {} | {:.2f} | {:.2f} |{}\n", 100 * share, row.bytes,
               100 * row.bytes / base, plan.segment, plan.places, 1 + plan.recomputed, row.seconds / whole.seconds,
               same ? "" : " NOT THE SAME BITS");
    std::fflush(stdout);
  }
}
