// A second identical step takes nothing from the heap. Everything that can allocate in this program is counted, except
// around calls into oneDNN, which allocates by itself; small products do not reach it.
#include <atomic>
#include <cstdlib>
#include <malloc.h>
#include <new>

#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/matmul.h>

#include "../sanitized.h"
#include "support.h"

// Sanitizers have operators new and delete of their own: there the steps run, and nothing is counted.
#ifndef REWIND_SANITIZED
#define REWIND_COUNTS_ALLOCATIONS
#endif

using namespace rw;
using test::numbers;

namespace {

thread_local bool counting = false;
thread_local long allocations = 0;

#ifdef REWIND_COUNTS_ALLOCATIONS
// Not inlined, or g++ takes the pairs below for mismatched ones.
[[gnu::noinline]] void* counted(std::size_t bytes, std::size_t alignment) {
  if (counting) ++allocations;
  void* p = nullptr;
  if (alignment <= alignof(std::max_align_t)) {
    p = std::malloc(bytes == 0 ? 1 : bytes);
  } else {
    p = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  }
  if (p == nullptr) throw std::bad_alloc();
  return p;
}

[[gnu::noinline]] void give_back(void* p) { std::free(p); }
#endif

}  // namespace

#ifdef REWIND_COUNTS_ALLOCATIONS
void* operator new(std::size_t n) { return counted(n, 1); }
void* operator new[](std::size_t n) { return counted(n, 1); }
void* operator new(std::size_t n, std::align_val_t a) { return counted(n, static_cast<std::size_t>(a)); }
void* operator new[](std::size_t n, std::align_val_t a) { return counted(n, static_cast<std::size_t>(a)); }
void operator delete(void* p) noexcept { give_back(p); }
void operator delete[](void* p) noexcept { give_back(p); }
void operator delete(void* p, std::size_t) noexcept { give_back(p); }
void operator delete[](void* p, std::size_t) noexcept { give_back(p); }
void operator delete(void* p, std::align_val_t) noexcept { give_back(p); }
void operator delete[](void* p, std::align_val_t) noexcept { give_back(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { give_back(p); }
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept { give_back(p); }
#endif

namespace {

// What std::malloc and its kin handed out and have not got back: what operator new does not see.
std::size_t in_use() {
#ifndef REWIND_COUNTS_ALLOCATIONS
  return 0;
#else
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
#endif
}

struct Model {
  Parameter W{"W", numbers(Shape{6, 16}, 1)}, R{"R", numbers(Shape{4, 16}, 2)}, b{"b", numbers(Shape{16}, 3)},
      d{"d", numbers(Shape{4}, 4, DType::f64)};
  Array weights = numbers(Shape{3, 4}, 5);
};

// Every kind of thing a step does, with a name that does not fit into a short string.
Tensor record_step(Tape& tape, Model& m, const Array& x, const Array& ids) {
  const Scope scope(tape, "a scope with quite a long name, longer than a short string");
  Tensor h = tape.constant(0, Shape{3, 4});
  const Tensor indices = tape.constant(ids);
  for (Index t = 0; t < 6; ++t) {
    const Scope s(tape, "t", t);
    const TapeMark mark = tape.mark();
    tape.constant(x);
    tape.rewind(mark);
    const Tensor z = matmul(tape.constant(x), m.W) + matmul(h, m.R) + m.b;
    const Tensor i = record(Slice{1, 0, 4}, {z}), g = record(Slice{1, 4, 4}, {z});
    const Tensor joined = record(Concat{0}, {i, g});  // [6, 4]
    h = record(Slice{0, 0, 3}, {tanh(joined) * 2}) + record(Slice{0, 3, 3}, {sigmoid(joined)}) * m.d;
    h = record(Reshape{Shape{3, 4}}, {record(Reshape{Shape{12}}, {h})});
  }
  CHECK(indices.valid());
  return record(SumTo{Shape{}}, {record(test::Product{}, {h, tape.constant(m.weights)})});
}

template <class Step>
void check_steady(Step&& step) {
  step();
  step();
  allocations = 0;
  const std::size_t before = in_use();
  counting = true;
  for (int i = 0; i < 3; ++i) step();
  counting = false;
  const std::size_t after = in_use();
  CHECK(allocations == 0);
  CHECK(after == before);
}

}  // namespace

#ifdef REWIND_COUNTS_ALLOCATIONS
TEST_CASE("the counter counts") {
  counting = true;
  allocations = 0;
  std::vector<int>* v = new std::vector<int>(10);
  counting = false;
  delete v;
  CHECK(allocations == 2);
}
#endif

TEST_CASE("a second identical step takes nothing from the heap") {
  for (DType dtype : {DType::f32, DType::f64}) {
    CAPTURE(name_of(dtype));
    Model m;
    Tape tape(dtype);
    const Array x = numbers(Shape{3, 6}, 9), ids = arange(3);
    check_steady([&] {
      tape.clear();
      m.W.zero_grad();
      backward(record_step(tape, m, x, ids));
    });
  }
}

TEST_CASE("nor does one with every option of backward") {
  Model m;
  Tape tape;
  Gradients gradients;
  const Array x = numbers(Shape{3, 6}, 9), ids = arange(3);
  check_steady([&] {
    tape.clear();
    const Tensor loss = record_step(tape, m, x, ids);
    backward(loss, {.keep_grads = true});
    backward(loss, gradients, {.cotangent = tape.constant(2)});
    backward(loss, {.release_values = true});
  });
}

TEST_CASE("nor does inference") {
  Model m;
  Tape tape;
  const Array x = numbers(Shape{3, 6}, 9), ids = arange(3);
  const NoGrad off(tape);
  double sum = 0;
  check_steady([&] {
    tape.clear();
    sum += record_step(tape, m, x, ids).item();
  });
  CHECK(sum != 0);
}

TEST_CASE("nor do steps that rewind to a mark") {
  Model m;
  Tape tape;
  const Array x = numbers(Shape{3, 6}, 9), ids = arange(3);
  tape.leaf(m.W);
  const TapeMark mark = tape.mark();
  check_steady([&] {
    tape.rewind(mark);
    backward(record_step(tape, m, x, ids));
  });
}

TEST_CASE("memory tells what is on the tape") {
  Tape tape;
  CHECK(tape.memory().values == 0);
  const Tensor x = tape.variable(zeros(1000));
  CHECK(tape.memory().values == 4000);
  const Tensor view = record(Reshape{Shape{10, 100}}, {x});
  CHECK(tape.memory().values == 4000);
  const Tensor y = view * view;
  CHECK(tape.memory().values >= 8000);
  CHECK(tape.memory().values < 8100);
  CHECK(tape.memory().peak == tape.memory().values);
  CHECK(tape.memory().reserved >= tape.memory().values);
  backward(test::project(y));
  CHECK(tape.memory().gradients >= 4000);
  tape.clear();
  CHECK(tape.memory().values == 0);
  CHECK(tape.memory().gradients == 0);
  CHECK(tape.memory().reserved > 0);
}
