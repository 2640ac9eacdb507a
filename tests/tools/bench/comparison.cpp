#include <cmath>
#include <limits>
#include <memory>

#include <doctest/doctest.h>

#include <rewind/tools/bench/budget.h>
#include <rewind/tools/bench/chart.h>
#include <rewind/tools/bench/comparison.h>
#include <rewind/tools/bench/publish.h>
#include <rewind/tools/bench/report.h>
#include <rewind/tools/bench/results.h>
#include <rewind/tools/bench/tables.h>

using namespace rw::bench;

namespace {

Comparison comparison_of(std::vector<Contender> contenders) {
  Comparison c;
  c.name = "group/shape";
  c.make = [contenders](const Setting&) { return Field{contenders, {"nobody else"}}; };
  return c;
}

Contender computing(const std::string& name, std::vector<double> values) {
  return {name, [] {}, [values] { return Result{{"gradient of W", values}}; }};
}

}  // namespace

TEST_CASE("comparison: a peer that computes something else is an error, not a row") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const std::vector<double>& wrong : {std::vector<double>{1, 2.1}, {1, nan}, {1}, {}}) {
    const Comparison c = comparison_of({computing("Rewind", {1, 2}), computing("peer", wrong)});
    const Outcome out = run(c, {.quick = true}, 1);
    CHECK(out.rows.empty());
    CHECK(out.error.find("peer") != std::string::npos);
    CHECK(out.error.find("gradient of W") != std::string::npos);
  }
}

TEST_CASE("comparison: rounding is no difference, and a yardstick is not compared") {
  Contender yardstick{"copy", [] {}};
  const Comparison c = comparison_of({computing("Rewind", {1, 2}), computing("peer", {1.0001, 2}), yardstick});
  const Outcome out = run(c, {.quick = true}, 1);
  CHECK(out.error.empty());
  REQUIRE(out.rows.size() == 3);
  CHECK(!out.rows[1].yardstick);
  CHECK(out.rows[2].yardstick);
  CHECK(out.absent == std::vector<std::string>{"nobody else"});
}

TEST_CASE("comparison: contenders measure in turn") {
  auto order = std::make_shared<std::string>();
  const auto measuring = [&](char letter) {
    Contender c{std::string(1, letter), {}};
    c.measure = [order, letter] { return static_cast<double>((*order += letter).size()); };
    return c;
  };
  const Comparison c = comparison_of({measuring('A'), measuring('B')});
  const Outcome out = run(c, {}, 1);
  REQUIRE(out.rows.size() == 2);
  CHECK(*order == "ABABAB");
  CHECK(out.rows[1].rounds == std::vector<double>{2, 4, 6});
  CHECK(out.rows[1].median() == 4);
  CHECK(out.shown(out.rows[1], 4) == 4);
}

TEST_CASE("comparison: a rate is work over time") {
  Comparison c;
  c.rate = true, c.scale = 100;
  const Outcome out{&c, 1, {{"A", false, false, {0.5}}}, {}, {}};
  CHECK(out.shown(out.rows[0], 0.5) == 200);
}

TEST_CASE("comparison: what a maker throws is the comparison's error") {
  Comparison c;
  c.make = [](const Setting&) -> Field { throw std::runtime_error("no such cell"); };
  CHECK(run(c, {}, 1).error == "no such cell");
  CHECK(run(comparison_of({}), {}, 1).error == "nobody takes part");
}

TEST_CASE("report: the slope of a power law") {
  std::vector<double> x{1, 10, 100, 1000}, y;
  for (double v : x) y.push_back(3 * v * std::sqrt(v));
  CHECK(fitted_slope(x, y) == doctest::Approx(1.5));
}

TEST_CASE("report and chart: a series has a curve for each contender, a comparison a row") {
  std::vector<Comparison> comparisons(3);
  comparisons[0].name = "growth/T/10", comparisons[0].size = 10;
  comparisons[1].name = "growth/T/20", comparisons[1].size = 20;
  comparisons[2].name = "train/a <b>";
  std::vector<Outcome> outcomes;
  for (const Comparison& c : comparisons) {
    const double scale = c.size > 0 ? c.size : 1;
    outcomes.push_back({&c, 1, {{"Rewind eager", false, false, {scale}}, {"peer", false, false, {2 * scale}}}, {}, {}});
  }
  const std::vector<Series> all = series(outcomes);
  REQUIRE(all.size() == 1);
  REQUIRE(all[0].curves.size() == 2);
  CHECK(all[0].curves[1].x == std::vector<double>{10, 20});
  CHECK(all[0].curves[1].y == std::vector<double>{20e3, 40e3});
  CHECK(all[0].title() == "growth/T [1], ms");
  CHECK(growth_chart(all).find(">peer</text>") != std::string::npos);
  const std::string chart = ratio_chart(outcomes);
  CHECK(chart.find(">train, 1 thread</text>") != std::string::npos);
  CHECK(chart.find(">a &lt;b&gt;</text>") != std::string::npos);
  CHECK(chart.find("growth") == std::string::npos);
  const std::string table = markdown(outcomes);
  CHECK(table.find("### growth, 1 thread, ms") != std::string::npos);
  CHECK(table.find("| T/20 | 20000 (20000 to 20000) | 40000 (40000 to 40000) |\n") != std::string::npos);
  CHECK(ratio_chart({}).empty());
  CHECK(growth_chart({}).empty());
}

TEST_CASE("tables: a group that is measured in two units has a table for each") {
  std::vector<Comparison> comparisons(3);
  const char *names[] = {"step/a", "step/b", "step/c"}, *units[] = {"ns", "steps/s", "ns"};
  std::vector<Outcome> outcomes;
  for (std::size_t i = 0; i < 3; ++i) {
    comparisons[i].name = names[i], comparisons[i].unit = units[i];
    outcomes.push_back({&comparisons[i], 1, {{"x", false, false, {0.5}}}, {}, {}});
  }
  const std::string table = markdown(outcomes);
  const std::size_t first = table.find("### step, 1 thread, ns\n"),
                    second = table.find("### step, 1 thread, steps/s\n");
  REQUIRE(first < second);
  REQUIRE(second != std::string::npos);
  CHECK(table.find("| c |") < second);
  CHECK(table.find("| b |") > second);
}

TEST_CASE("tables: ratios, pairs and slopes") {
  std::vector<Comparison> comparisons(5);
  comparisons[0].name = "train/a", comparisons[0].note = "one step";
  comparisons[1].name = "threads/b", comparisons[1].pairs = true;
  for (std::size_t i = 2; i < 5; ++i) {
    comparisons[i].size = std::pow(10.0, static_cast<double>(i)), comparisons[i].series = "ms against T";
    comparisons[i].name = "growth/T/" + std::to_string(i);
  }
  std::vector<Outcome> outcomes{
      {&comparisons[0], 1, {{"Rewind eager", false, false, {0.3}}, {"libtorch composed", false, false, {0.4}}}, {}, {}},
      {&comparisons[1], 2, {{"x, 1 thread", false, false, {0.3}}, {"x, 2 threads", false, false, {0.2}}}, {}, {}}};
  for (std::size_t i = 2; i < 5; ++i)
    outcomes.push_back({&comparisons[i], 1, {{"x", false, false, {std::pow(comparisons[i].size, 2)}}}, {}, {}});
  const std::string table = markdown(outcomes);
  CHECK(table.find("### train, 1 thread, ms\n\nOne step.\n") != std::string::npos);
  CHECK(table.find("eager / libtorch composed |\n") != std::string::npos);
  CHECK(table.find("(400.0 to 400.0) | 0.750 |\n") != std::string::npos);
  CHECK(table.find("| b | 300.0 to 200.0: 0.67 |\n") != std::string::npos);
  CHECK(table.find("| ms against T | x | 2.00 | 2.00 |\n") != std::string::npos);
}

TEST_CASE("results: what was written is read again") {
  Comparison c;
  c.name = "gemm/a", c.unit = "GFLOP/s", c.scale = 2, c.rate = true, c.note = "n";
  Comparison wrong;
  wrong.name = "train/b";
  Results results;
  results.date = "2026-01-02T03:04:05Z", results.commit = "abc", results.machine.processor = "p";
  results.outcomes = {{&c, 2, {{"A", true, false, {0.5, 0.25, 1}}}, {"B: absent"}, {}, 3},
                      {&wrong, 1, {}, {}, "not the same work"}};
  const Results again = from_json(json(results));
  CHECK(json(again) == json(results));
  REQUIRE(again.outcomes.size() == 2);
  const Outcome& o = again.outcomes[0];
  CHECK(o.comparison->rate);
  CHECK(o.shown(o.rows[0], o.rows[0].median()) == 4);
  CHECK(o.rows[0].yardstick);
  CHECK(again.outcomes[1].error == "not the same work");
  CHECK_THROWS_AS(from_json("{}"), std::runtime_error);
  CHECK_THROWS_AS(from_json("x"), std::runtime_error);
}

TEST_CASE("publish: what one processor said is replaced, what others said stays") {
  const std::string page = "a\n<!-- t -->\n- x 1\n- y 1\nof y\n- z 1\n<!-- end of t -->\nb";
  const auto with = [&](const std::string& name) {
    return with_entry(page, "t", {"- ", "- " + name, "- " + name + " 2\n"});
  };
  CHECK(with("x") == "a\n<!-- t -->\n- x 2\n- y 1\nof y\n- z 1\n<!-- end of t -->\nb");
  CHECK(with("y") == "a\n<!-- t -->\n- x 1\n- y 2\n- z 1\n<!-- end of t -->\nb");
  CHECK(with("z") == "a\n<!-- t -->\n- x 1\n- y 1\nof y\n- z 2\n<!-- end of t -->\nb");
  CHECK(with("new") == "a\n<!-- t -->\n- x 1\n- y 1\nof y\n- z 1\n- new 2\n<!-- end of t -->\nb");
  CHECK_THROWS_AS(with_entry(page, "u", {"- ", "- x", ""}), std::runtime_error);
  CHECK_THROWS_WITH(publish(Results(), "/nowhere"), "cannot publish: overhead/backward was not run");
}

TEST_CASE("schedule: what matters most comes first, and leaves the others what they need") {
  std::vector<Comparison> comparisons(5);
  const char* names[] = {"elementwise/tanh", "train/gru/T50", "train/lstm/T50", "threads/idle", "new/thing"};
  for (std::size_t i = 0; i < 5; ++i) comparisons[i].name = names[i];
  comparisons[3].only_all_cores = true;
  std::vector<ComparisonRun> entries;
  for (const Comparison& c : comparisons) entries.push_back({&c, c.only_all_cores ? 2 : 1});
  entries.push_back({&comparisons[2], 2});
  sort_by_importance(entries);
  std::string order;
  for (const ComparisonRun& e : entries) order += e.comparison->name + std::to_string(e.threads) + " ";
  CHECK(order == "train/lstm/T501 threads/idle2 elementwise/tanh1 train/gru/T501 new/thing1 train/lstm/T502 ");
  CHECK(share(std::vector<double>{2}, 1.5) == 0);
  CHECK(share(std::vector<double>{2, 5, 5}, 10) == 2);   // the last is left out later
  CHECK(share(std::vector<double>{5, 5, 5}, 10) == 0);   // smaller ones may follow
  CHECK(share(std::vector<double>{2, 1, 1}, 8) == 3);    // a quarter of the 4 that are over
  CHECK(share(std::vector<double>{2, 1, 1}, 100) > 30);  // more than it can use
  CHECK(share(std::vector<double>{1}, 60) == 60);
}

TEST_CASE("comparison: stopped between turns, whole rounds stay") {
  auto turns = std::make_shared<int>(0);
  const auto measuring = [&](const char* name) {
    Contender c{name, {}};
    c.measure = [turns] { return static_cast<double>(++*turns); };
    return c;
  };
  const Comparison c = comparison_of({measuring("A"), measuring("B")});
  Setting setting;
  setting.stopped = [turns] { return *turns >= 3; };
  const Outcome out = run(c, setting, 1);
  REQUIRE(out.rows.size() == 2);
  CHECK(out.rows[0].rounds == std::vector<double>{1});
  setting.stopped = [] { return true; };
  const Outcome none = run(c, setting, 1);
  CHECK(none.rows.empty());
  CHECK(none.error.empty());
  CHECK(none.absent == std::vector<std::string>{"everybody: stopped"});
}

TEST_CASE("comparison: contenders are picked by their names") {
  const Comparison c =
      comparison_of({computing("Rewind compiled", {1}), computing("oneDNN", {1}), computing("libtorch", {2})});
  Setting setting{.quick = true};
  setting.contenders = "compiled|oneDNN";
  const Outcome out = run(c, setting, 1);
  CHECK(out.error.empty());
  CHECK(out.rows.size() == 2);
}
