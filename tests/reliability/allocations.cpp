// Every allocation fails once: in a training step, in what a compiled function does at its first call and later, in a
// save and in a load. Each failure is an Error or std::bad_alloc and nothing else; parameters and files are as they
// were before, and the same thing done again, with memory, gives the same bits. usage: test_allocations [STRIDE] of a
// compilation every STRIDE-th allocation (1 in the long form, else 5)
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <new>
#include <optional>
#include <unistd.h>
#include <utility>

#include <rewind/core/threads.h>
#include <rewind/models/weights/file.h>
#include <rewind/rewind.h>

#include "../effort.h"

namespace {

std::int64_t until_failure = -1;  // allocations that go well before one does not; negative: all do
std::int64_t seen = 0;

bool fails() {
  ++seen;
  return until_failure >= 0 && until_failure-- == 0;
}

}  // namespace

extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);

void* malloc(std::size_t n) { return fails() ? nullptr : __libc_malloc(n); }
void* calloc(std::size_t n, std::size_t size) { return fails() ? nullptr : __libc_calloc(n, size); }
void* realloc(void* p, std::size_t n) { return fails() ? nullptr : __libc_realloc(p, n); }
void* aligned_alloc(std::size_t alignment, std::size_t n) { return fails() ? nullptr : __libc_memalign(alignment, n); }
}

namespace {

using namespace rw;

int violations = 0;

void need(bool good, const char* what, const char* when, std::int64_t n) {
  if (good) return;
  ++violations;
  std::fprintf(stderr, "%s, allocation %lld: %s\n", what, static_cast<long long>(n), when);
}

/// Something that is done to things which are made anew for each try, and what it leaves.
struct Case {
  const char* name;
  /// Makes the things (with memory) and returns what is done to them.
  std::function<std::function<void()>()> prepare;
  /// The bits that count: before the thing was done, and after.
  std::function<std::string()> bits;
};

void run(const Case& c, std::int64_t stride) {
  auto action = c.prepare();
  const std::string before = c.bits();
  seen = 0;
  action();
  const std::int64_t all = seen;
  const std::string after = c.bits();
  std::int64_t tried = 0;
  for (std::int64_t n = 0; n < all; n += stride, ++tried) {
    action = c.prepare();
    bool failed = false;
    until_failure = n;
    try {
      action();
    } catch (const Error&) {
      failed = true;
    } catch (const std::bad_alloc&) {
      failed = true;
    } catch (const std::exception& other) {
      until_failure = -1;
      need(false, c.name, other.what(), n);
      continue;
    }
    until_failure = -1;
    need(c.bits() == (failed ? before : after), c.name, failed ? "not as it was before" : "other bits", n);
    if (!failed) continue;
    action();
    need(c.bits() == after, c.name, "done again, it gives other bits", n);
  }
  std::printf("%-28s %6lld allocations, %6lld failed once\n", c.name, static_cast<long long>(all),
              static_cast<long long>(tried));
}

std::string bits_of(const Module& module) {
  std::string out;
  for (const NamedParameter& p : module.parameters())
    for (const Array* a : {&p.parameter->value(), &std::as_const(*p.parameter).grad()})
      out.append(static_cast<const char*>(a->view().data), static_cast<std::size_t>(a->size()) * size_of(a->dtype()));
  return out;
}

constexpr Index T = 4, N = 3, I = 2, H = 5;

Tensor loss_of(const LstmCell& cell, Tape& tape, Tensor x) {
  const auto states = unroll(cell, x, cell.zero_state(tape, N));
  return mse(states.back().h, tape.constant(0.5, {N, H}));
}

Array some_input() {
  Rng rng(3);
  return uniform(rng, {T, N, I}, -1, 1);
}

std::unique_ptr<LstmCell> cell;
std::string path;

std::unique_ptr<LstmCell> new_cell() {
  Rng rng(1);
  return std::make_unique<LstmCell>(I, H, rng);
}

Case training_step() {
  return {"a step on the tape",
          [] {
            cell = new_cell();
            return [] {
              Tape tape;
              backward(loss_of(*cell, tape, tape.constant(some_input())));
            };
          },
          [] { return bits_of(*cell); }};
}

Case compiled_step(bool warm) {
  return {warm ? "a compiled step, later" : "a compiled step, the first",
          [warm] {
            cell = new_cell();
            const Array x = some_input();
            auto step = [](Tape& tape, Tensor in) {
              Tensor loss = loss_of(*cell, tape, in);
              backward(loss);
              return loss;
            };
            using Function = decltype(compile(step, x));
            auto f = std::make_shared<std::optional<Function>>();
            if (warm) {
              f->emplace(compile(step, x));
              (**f)(x);
              for (const NamedParameter& p : cell->parameters()) p.parameter->zero_grad();
            }
            return [f, step, x] {
              if (!*f) f->emplace(compile(step, x));
              (**f)(x);
            };
          },
          [] { return bits_of(*cell); }};
}

Case save() {
  return {"save_model",
          [] {
            cell = new_cell();
            write_file(path, "old");
            return [] { save_model(path, *cell, {{"a", "b"}}); };
          },
          [] { return read_file(path); }};
}

Case load() {
  return {"load_model",
          [] {
            cell = new_cell();
            save_model(path, *cell);
            for (const NamedParameter& p : cell->parameters()) p.parameter->edit().as<float>()[0] = 7;
            return [] { load_model(path, *cell); };
          },
          [] { return bits_of(*cell); }};
}

}  // namespace

int main(int argc, char** argv) {
  const std::int64_t stride = argc > 1 ? std::strtoll(argv[1], nullptr, 10) : rw::test::full() ? 1 : 5;
  set_threads(1);
  char name[] = "/tmp/rewind_allocations_XXXXXX";
  if (mkdtemp(name) == nullptr || stride < 1) return 2;
  path = std::string(name) + "/m";
  for (const Case& c : {training_step(), compiled_step(true), save(), load()}) run(c, 1);
  run(compiled_step(false), stride);
  cell.reset();
  ::unlink(path.c_str());
  ::rmdir(name);
  return violations == 0 ? 0 : 1;
}
