#include <doctest/doctest.h>

#include <rewind/core/one_thread.h>
#include <rewind/core/processor.h>
#include <rewind/core/threads.h>

namespace rw {
namespace {

TEST_CASE("the processor has a name in one line, cores, and caches that grow") {
  const Processor& p = this_processor();
  CAPTURE(p.name);
  CHECK(p.name.size() > 10);
  CHECK(p.name.find('\n') == std::string::npos);
  CHECK(p.name.find(p.cores == 1 ? "1 core" : std::to_string(p.cores) + " cores") != std::string::npos);
  CHECK(p.first_cache >= 4096);
  CHECK(p.second_cache >= p.first_cache);
  CHECK(&this_processor() == &p);
}

TEST_CASE("OneThread makes work serial until it ends, also one within another") {
  const int before = threads();
  set_threads(2);
  CHECK(!detail::runs_serially());
  {
    const OneThread outer;
    CHECK(detail::runs_serially());
    {
      const OneThread inner(false);
      CHECK(detail::runs_serially());
    }
    CHECK(detail::runs_serially());
    int sum = 0;
    parallel_for(100, [&](Index i) { sum += static_cast<int>(i); });  // no other thread: no race
    CHECK(sum == 4950);
  }
  CHECK(!detail::runs_serially());
  set_threads(before);
}

}  // namespace
}  // namespace rw
