#include <cstdint>
#include <cstdlib>
#include <memory>

#include <doctest/doctest.h>

#include <rewind/core/memory.h>

namespace {

struct Free {
  void operator()(std::byte* p) const { std::free(p); }
};

TEST_CASE("memory begins at a multiple of 64 bytes and holds what was asked for, few bytes or many pages") {
  constexpr std::size_t page = std::size_t{1} << 21;
  for (std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{100}, 2 * page - 1, 2 * page, 5 * page + 7}) {
    const std::unique_ptr<std::byte[], Free> p(static_cast<std::byte*>(rw::detail::aligned_memory(bytes)));
    REQUIRE(p != nullptr);
    CHECK(reinterpret_cast<std::uintptr_t>(p.get()) % 64 == 0);
    for (std::size_t i = 0; i < bytes; i += 4096) p[i] = std::byte{1};
    if (bytes > 0) p[bytes - 1] = std::byte{2};
    if (bytes > 0) CHECK(p[bytes - 1] == std::byte{2});
  }
}

}  // namespace
