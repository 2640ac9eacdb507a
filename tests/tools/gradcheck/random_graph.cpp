#include "random_graph.h"

#include <set>

#include <doctest/doctest.h>

#include <rewind/tools/gradcheck/gradcheck.h>

#include "../../effort.h"

using namespace rw;

TEST_CASE("a random graph does the same on every tape") {
  const test::RandomGraph graph(7);
  Tape a(DType::f64), b(DType::f64);
  const Tensor x = graph(a), y = graph(b);
  CHECK(x.item() == y.item());
  CHECK(a.size() == b.size());
}

TEST_CASE("random correct graphs raise no false alarm") {
  const std::uint64_t graphs = rw::test::full() ? 2000 : 200;
  std::array<Index, verdicts> counts{};
  std::set<std::string> cases;
  for (std::uint64_t seed = 1; seed <= graphs; ++seed) {
    const test::RandomGraph graph(seed);
    for (const std::string& name : graph.cases()) cases.insert(name);
    const GradReport report = gradcheck([&](Tape& t) { return graph(t); }, graph.parameters());
    for (int v = 0; v < verdicts; ++v) counts[static_cast<std::size_t>(v)] += report.count(static_cast<Verdict>(v));
    INFO(graph.str() << "\n" << report);
    CHECK(report.count(Verdict::wrong) == 0);
    CHECK(report.count(Verdict::not_deterministic) == 0);
    CHECK(report.faults.empty());
  }
  const auto count = [&](Verdict v) { return counts[static_cast<std::size_t>(v)]; };
  const Index judged =
      count(Verdict::right) + count(Verdict::noise_limited) + count(Verdict::kink) + count(Verdict::wrong);
  MESSAGE(graphs << " graphs of " << cases.size() << " kinds of ops, " << judged
                 << " elements: " << count(Verdict::right) << " right, " << count(Verdict::wrong) << " WRONG, "
                 << count(Verdict::kink) << " kink, " << count(Verdict::noise_limited) << " noise-limited; "
                 << count(Verdict::not_reached) << " not reached");
  CHECK(cases.size() == test::op_cases().size());
  CHECK(static_cast<double>(count(Verdict::right)) >= 0.98 * static_cast<double>(judged));
}

TEST_CASE("second derivatives of random graphs raise no false alarm") {
  Index right = 0, others = 0;
  // Enough of them that one graph whose second derivatives are all zero is no fiftieth of all.
  for (std::uint64_t seed = 1; seed <= (rw::test::full() ? 200 : 40); ++seed) {
    const test::RandomGraph graph(seed, 6);
    const GradReport report = gradcheck([&](Tape& t) { return graph(t); }, graph.parameters(), {.order = 2});
    INFO(graph.str() << "\n" << report);
    CHECK(report.count(Verdict::wrong) == 0);
    CHECK(report.faults.empty());
    right += report.count(Verdict::right);
    others += report.count(Verdict::noise_limited) + report.count(Verdict::kink);
  }
  MESSAGE(right << " right, " << others << " kink or noise-limited");
  CHECK(static_cast<double>(right) >= 0.98 * static_cast<double>(right + others));
}
