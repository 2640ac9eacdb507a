#include <atomic>
#include <cfenv>
#include <cstring>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/core/gemm/gemm.h>
#include <rewind/core/subnormals.h>
#include <rewind/core/threads.h>

using rw::Index;

namespace {

// What the processor makes of them now, not the compiler.
template <class T>
T times(T a, T b) {
  volatile T x = a, y = b;
  volatile T z = x * y;
  return z;
}

bool flushes() { return times(1e-30f, 1e-10f) == 0 && times(1e-40f, 1e10f) == 0 && times(1e-300, 1e-10) == 0; }
bool keeps() { return times(1e-30f, 1e-10f) != 0 && times(1e-40f, 1e10f) != 0 && times(1e-300, 1e-10) != 0; }

// What f gives on two threads at once, the caller's and a helper's.
template <class F>
std::vector<double> on_two_threads(F f) {
  const int before = rw::threads();
  rw::set_threads(2);
  std::vector<double> out(2);
  std::atomic<int> arrived = 0;
  rw::parallel_for(2, [&](Index i) {  // each block waits for the other
    ++arrived;
    while (arrived < 2) std::this_thread::yield();
    out[static_cast<std::size_t>(i)] = f();
  });
  rw::set_threads(before);
  return out;
}

}  // namespace

TEST_CASE("subnormal numbers are 0 while a FlushSubnormals lives, which may be within another") {
  CHECK(keeps());
  {
    const rw::FlushSubnormals flush;
    if (keeps()) return;  // a processor for which it does nothing
    CHECK(flushes());
    {
      const rw::FlushSubnormals again;
      const rw::FlushSubnormals nothing(false);
      CHECK(flushes());
    }
    CHECK(flushes());
    bool in_new_thread = false;
    std::thread([&] { in_new_thread = flushes(); }).join();
    CHECK(in_new_thread);
    CHECK(times(1e-37f, 1.0f) == 1e-37f);
  }
  CHECK(keeps());
}

TEST_CASE("helpers compute as the thread does for which they work") {
  const auto tiny = [] { return static_cast<double>(times(1e-30f, 1e-10f)); };
  CHECK(on_two_threads(tiny) == std::vector<double>(2, tiny()));
  {
    const rw::FlushSubnormals flush;
    CHECK(on_two_threads(tiny) == std::vector<double>(2, tiny()));
  }
  CHECK(on_two_threads(tiny) == std::vector<double>(2, tiny()));

  const auto third = [] { return times(1.0, 1.0 / 3) + times(1e-20, 1.0); };
  const double nearest = third();
  std::fesetround(FE_UPWARD);
  const double up = third();
  const std::vector<double> all = on_two_threads(third);
  std::fesetround(FE_TONEAREST);
  CHECK(up > nearest);
  CHECK(all == std::vector<double>(2, up));
}

TEST_CASE("a large product under a FlushSubnormals has the same bits on any number of threads") {
  const Index m = 64, n = 1024, k = 256;
  const std::vector<float> a(static_cast<std::size_t>(m * k), 1e-30f), b(static_cast<std::size_t>(k * n), 1e-10f);
  std::vector<float> one(static_cast<std::size_t>(m * n)), three(one);
  const int before = rw::threads();
  const rw::FlushSubnormals flush;
  rw::set_threads(1);
  rw::gemm(false, false, m, n, k, a.data(), k, b.data(), n, one.data(), n, false);
  rw::set_threads(3);
  rw::gemm(false, false, m, n, k, a.data(), k, b.data(), n, three.data(), n, false);
  rw::set_threads(before);
  CHECK(std::memcmp(one.data(), three.data(), one.size() * sizeof(float)) == 0);
  if (flushes()) CHECK(one[0] == 0);
}

TEST_CASE("whether subnormal numbers were met is known") {
  const rw::detail::SubnormalsMet met;
  CHECK(times(1.0f, 2.0f) == 2);
  CHECK_FALSE(static_cast<bool>(met));
#if defined(__x86_64__)
  CHECK(times(1e-40f, 2.0f) > 0);
  CHECK(static_cast<bool>(met));
  const rw::detail::SubnormalsMet since;
  CHECK_FALSE(static_cast<bool>(since));
#endif
}
