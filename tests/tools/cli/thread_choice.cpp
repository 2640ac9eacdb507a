#include <doctest/doctest.h>

#include <rewind/tools/cli/thread_choice.h>

using rw::cli::ThreadChoice;

namespace {

/// Steps out of `steps` that used one thread, when steps take these times.
int with_one(ThreadChoice& choice, int steps, double time_of_two, double time_of_one) {
  int ones = 0;
  for (int i = 0; i < steps; ++i) {
    const bool one = choice.next() == 1;
    ones += one ? 1 : 0;
    choice.took(one ? time_of_one : time_of_two);
  }
  return ones;
}

}  // namespace

TEST_CASE("the faster number of threads is used, apart from trials") {
  ThreadChoice idle(2), busy(2);
  CHECK(with_one(idle, 1000, 1, 2) < 120);
  CHECK(with_one(busy, 1000, 10, 1) > 950);
}

TEST_CASE("it is noticed when the machine becomes busy, and idle again") {
  ThreadChoice choice(4);
  with_one(choice, 500, 1, 2);
  CHECK(with_one(choice, 1000, 10, 2) > 800);
  CHECK(with_one(choice, 2000, 1, 2) < 500);
}

TEST_CASE("the first step does not count, and one thread leaves no choice") {
  ThreadChoice choice(2);
  choice.took(1000);
  CHECK(with_one(choice, 200, 1, 2) < 50);
  ThreadChoice single(1);
  CHECK(with_one(single, 100, 1, 1) == 100);
}
