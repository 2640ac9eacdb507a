#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <sys/resource.h>

#include <doctest/doctest.h>

#include <rewind/core/memory.h>

TEST_CASE("allocate_vectors: aligned, and all of it can be written, whatever the size") {
  for (const std::size_t bytes :
       std::initializer_list<std::size_t>{0, 1, 64, 65, 4096, (1 << 21) - 1, 1 << 21, (5 << 20) + 3}) {
    CAPTURE(bytes);
    void* p = rw::detail::allocate_vectors(bytes);
    REQUIRE(p != nullptr);
    CHECK(reinterpret_cast<std::uintptr_t>(p) % 64 == 0);
    std::memset(p, 1, bytes);  // under AddressSanitizer: it is ours
    std::free(p);
  }
}

TEST_CASE("memory_of_machine: more than this test takes, and no more than RLIMIT_AS") {
  const std::uint64_t all = rw::detail::memory_of_machine();
  CHECK(all > 100'000'000);
  rlimit before{};
  getrlimit(RLIMIT_AS, &before);
  const rlimit less{50'000'000'000, before.rlim_max};
  REQUIRE(setrlimit(RLIMIT_AS, &less) == 0);
  CHECK(rw::detail::memory_of_machine() == std::min<std::uint64_t>(all, 50'000'000'000));
  setrlimit(RLIMIT_AS, &before);
}
