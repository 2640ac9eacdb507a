#include <cmath>
#include <limits>
#include <memory>

#include <doctest/doctest.h>

#include <rewind/tools/bench/chart.h>
#include <rewind/tools/bench/contest.h>
#include <rewind/tools/bench/report.h>

using namespace rw::bench;

namespace {

Contest contest_of(std::vector<Contender> contenders) {
  Contest c;
  c.name = "group/shape";
  c.make = [contenders](const Setting&) { return Field{contenders, {"nobody else"}}; };
  return c;
}

Contender computing(const std::string& name, std::vector<double> values) {
  return {name, [] {}, [values] { return Result{{"gradient of W", values}}; }};
}

}  // namespace

TEST_CASE("contest: a peer that computes something else is an error, not a row") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const std::vector<double>& wrong : {std::vector<double>{1, 2.1}, {1, nan}, {1}, {}}) {
    const Contest c = contest_of({computing("Rewind", {1, 2}), computing("peer", wrong)});
    const Outcome out = run(c, {.quick = true}, 1);
    CHECK(out.rows.empty());
    CHECK(out.error.find("peer") != std::string::npos);
    CHECK(out.error.find("gradient of W") != std::string::npos);
  }
}

TEST_CASE("contest: rounding is no difference, and a yardstick is not compared") {
  Contender yardstick{"copy", [] {}};
  const Contest c = contest_of({computing("Rewind", {1, 2}), computing("peer", {1.0001, 2}), yardstick});
  const Outcome out = run(c, {.quick = true}, 1);
  CHECK(out.error.empty());
  REQUIRE(out.rows.size() == 3);
  CHECK(!out.rows[1].yardstick);
  CHECK(out.rows[2].yardstick);
  CHECK(out.absent == std::vector<std::string>{"nobody else"});
}

TEST_CASE("contest: contenders measure in turn") {
  auto order = std::make_shared<std::string>();
  const auto measuring = [&](char letter) {
    Contender c{std::string(1, letter), {}};
    c.measure = [order, letter] { return static_cast<double>((*order += letter).size()); };
    return c;
  };
  const Contest c = contest_of({measuring('A'), measuring('B')});
  const Outcome out = run(c, {}, 1);
  REQUIRE(out.rows.size() == 2);
  CHECK(*order == "ABABAB");
  CHECK(out.rows[1].rounds == std::vector<double>{2, 4, 6});
  CHECK(out.rows[1].median() == 4);
  CHECK(out.shown(out.rows[1], 4) == 4);
}

TEST_CASE("contest: a rate is work over time") {
  Contest c;
  c.rate = true, c.scale = 100;
  const Outcome out{&c, 1, {{"A", false, false, {0.5}}}, {}, {}};
  CHECK(out.shown(out.rows[0], 0.5) == 200);
}

TEST_CASE("contest: what a maker throws is the contest's error") {
  Contest c;
  c.make = [](const Setting&) -> Field { throw std::runtime_error("no such cell"); };
  CHECK(run(c, {}, 1).error == "no such cell");
  CHECK(run(contest_of({}), {}, 1).error == "nobody takes part");
}

TEST_CASE("report: the slope of a power law") {
  std::vector<double> x{1, 10, 100, 1000}, y;
  for (double v : x) y.push_back(3 * v * std::sqrt(v));
  CHECK(fitted_slope(x, y) == doctest::Approx(1.5));
}

TEST_CASE("report and chart: a series has a curve for each contender, a contest a row") {
  std::vector<Contest> contests(3);
  contests[0].name = "growth/T/10", contests[0].size = 10;
  contests[1].name = "growth/T/20", contests[1].size = 20;
  contests[2].name = "train/a <b>";
  std::vector<Outcome> outcomes;
  for (const Contest& c : contests) {
    const double scale = c.size > 0 ? c.size : 1;
    outcomes.push_back({&c, 1, {{"Rewind eager", false, false, {scale}}, {"peer", false, false, {2 * scale}}}, {}, {}});
  }
  const std::vector<Series> all = series(outcomes);
  REQUIRE(all.size() == 1);
  REQUIRE(all[0].curves.size() == 2);
  CHECK(all[0].curves[1].x == std::vector<double>{10, 20});
  CHECK(all[0].curves[1].y == std::vector<double>{20e3, 40e3});
  CHECK(growth_chart(all).find("peer: slope 1.00") != std::string::npos);
  const std::string chart = ratio_chart(outcomes);
  CHECK(chart.find("train/a &lt;b&gt; [1]") != std::string::npos);
  CHECK(chart.find("growth") == std::string::npos);
  const std::string table = markdown(outcomes);
  CHECK(table.find("### growth, ms") != std::string::npos);
  CHECK(table.find("| T/20 [1] | 20000 (20000 to 20000) | 40000 (40000 to 40000) | 0.500 |") != std::string::npos);
  CHECK(ratio_chart({}).empty());
  CHECK(growth_chart({}).empty());
  const std::string text = json(outcomes, {}, "abc");
  CHECK(text.find("\"commit\": \"abc\"") != std::string::npos);
  CHECK(text.find("growth/T/20") != std::string::npos);
}
