// GradBench's evals: compiled beside eager, both beside plain C++, derivatives beside differences of plain C++.
#include <algorithm>
#include <cmath>
#include <functional>

#include <doctest/doctest.h>

#include <rewind/core/random.h>
#include <rewind/tools/bench/gradbench/inputs.h>

using namespace rw;
using namespace rw::bench::gradbench;

namespace {

json run(std::string_view name, std::string_view function, const json& input, Engine engine) {
  const Work work = eval(name).make(function, input, engine);
  work.run();
  return work.output();
}

double distance(const Numbers& a, const Numbers& b) {
  REQUIRE(a.size() == b.size());
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(a[i] - b[i]) / (1 + std::abs(b[i])));
  return most;
}

// Every number of a list, or list of lists.
void for_each_number(json& j, const std::function<void(json&)>& f) {
  if (!j.is_array()) return f(j);
  for (json& part : j) for_each_number(part, f);
}

// Central differences of the plain function by the numbers of `field`: for each the derivatives of all results.
std::vector<Numbers> differences(std::string_view name, std::string_view function, json input,
                                 const std::string& field) {
  std::vector<Numbers> out;
  for_each_number(input.at(field), [&](json& e) {
    const double middle = e.get<double>(), h = 1e-4;
    const auto at = [&](double x) {
      e = x;
      return numbers_in(run(name, function, input, Engine::plain));
    };
    const Numbers up = at(middle + h), down = at(middle - h), far_up = at(middle + 2 * h),
                  far_down = at(middle - 2 * h);
    e = middle;
    Numbers slope(up.size());
    for (std::size_t i = 0; i < up.size(); ++i)
      slope[i] = (8 * (up[i] - down[i]) - (far_up[i] - far_down[i])) / (12 * h);
    out.push_back(slope);
  });
  return out;
}

// The function beside plain C++, the derivative compiled beside eager; gives the derivative.
Numbers check_both(std::string_view name, std::string_view function, std::string_view derivative, const json& input) {
  const Numbers expected = numbers_in(run(name, function, input, Engine::plain));
  for (const Engine engine : {Engine::compiled, Engine::eager})
    CHECK(distance(numbers_in(run(name, function, input, engine)), expected) < 1e-10);
  const Numbers compiled = numbers_in(run(name, derivative, input, Engine::compiled));
  CHECK(distance(compiled, numbers_in(run(name, derivative, input, Engine::eager))) < 1e-10);
  return compiled;
}

void check_gradient(std::string_view name, std::string_view function, std::string_view derivative, const json& input,
                    const std::vector<std::string>& fields, std::size_t result = 0) {
  CAPTURE(name);
  const Numbers found = check_both(name, function, derivative, input);
  Numbers slopes;
  for (const std::string& field : fields)
    for (const Numbers& s : differences(name, function, input, field)) slopes.push_back(s.at(result));
  CHECK(distance(found, slopes) < 1e-8);
}

}  // namespace

TEST_CASE("hello, lse, llsq, det, ode, gmm, lstm: values and gradients") {
  Rng rng(1);
  CHECK(run("hello", "square", 3.0, Engine::compiled) == 9.0);
  CHECK(run("hello", "double", 3.0, Engine::eager) == 6.0);
  check_gradient("lse", "primal", "gradient", {{"x", random_list(rng, 19, -3, 3)}}, {"x"});
  check_gradient("llsq", "primal", "gradient", {{"x", random_list(rng, 5)}, {"n", 12}}, {"x"});
  check_gradient("det", "primal", "gradient", {{"A", random_list(rng, 16)}, {"ell", 4}}, {"A"});
  check_gradient("ode", "primal", "gradient", {{"x", random_list(rng, 5, 0.5, 1)}, {"s", 6}}, {"x"}, 4);
  const std::size_t d = 3, k = 2;
  const json gmm = {{"d", d},
                    {"k", k},
                    {"n", 5},
                    {"alpha", random_list(rng, k)},
                    {"mu", random_rows(rng, k, d)},
                    {"q", random_rows(rng, k, d)},
                    {"l", random_rows(rng, k, d * (d - 1) / 2)},
                    {"x", random_rows(rng, 5, d)},
                    {"gamma", 1.2},
                    {"m", 2}};
  check_gradient("gmm", "objective", "jacobian", gmm, {"alpha", "l", "mu", "q"});
  const json lstm = {{"main_params", random_rows(rng, 4, 12)},
                     {"extra_params", random_rows(rng, 3, 3)},
                     {"state", random_rows(rng, 4, 3)},
                     {"sequence", random_rows(rng, 5, 3)}};
  check_gradient("lstm", "objective", "jacobian", lstm, {"main_params", "extra_params"});
}

TEST_CASE("kmeans: Newton's direction leads to the means") {
  Rng rng(2);
  const json points = random_rows(rng, 30, 2), centroids = random_rows(rng, 3, 2, -0.5, 0.5);
  const Numbers found = check_both("kmeans", "cost", "dir", {{"points", points}, {"centroids", centroids}});
  const Numbers p = flat(points), c = flat(centroids);
  Numbers sums(6), counts(3);
  for (std::size_t i = 0; i < 30; ++i) {
    std::size_t nearest = 0;
    double least = 1e300;
    for (std::size_t j = 0; j < 3; ++j) {
      const double away = std::pow(p[2 * i] - c[2 * j], 2) + std::pow(p[2 * i + 1] - c[2 * j + 1], 2);
      if (away < least) least = away, nearest = j;
    }
    counts[nearest] += 1;
    sums[2 * nearest] += p[2 * i], sums[2 * nearest + 1] += p[2 * i + 1];
  }
  for (std::size_t i = 0; i < 6; ++i) {
    REQUIRE(counts[i / 2] > 0);
    CHECK(found[i] == doctest::Approx(c[i] - sums[i] / counts[i / 2]).epsilon(1e-10));
  }
}

TEST_CASE("ba: a sparse Jacobian of the board's pattern") {
  Rng rng(3);
  json input = {{"n", 2},
                {"m", 3},
                {"p", 5},
                {"cam", random_list(rng, 11, 0.1, 1)},
                {"x", random_list(rng, 3, 2, 3)},
                {"w", 0.7},
                {"feat", random_list(rng, 2)}};
  const Numbers expected = numbers_in(run("ba", "objective", input, Engine::plain));
  for (const Engine engine : {Engine::compiled, Engine::eager})
    CHECK(distance(numbers_in(run("ba", "objective", input, engine)), expected) < 1e-12);
  const json j = run("ba", "jacobian", input, Engine::compiled);
  CHECK(distance(numbers_in(j), numbers_in(run("ba", "jacobian", input, Engine::eager))) < 1e-12);
  CHECK(j.at("rows").size() == 17);
  CHECK(j.at("cols").at(14) == 31);
  CHECK(j.at("cols").back() == 35);
  // The first observation's two rows: 11 numbers of the camera, 3 of the point, the weight.
  const auto values = j.at("vals").get<Numbers>();
  Numbers slopes[2];
  for (const char* field : {"cam", "x", "w"})
    for (const Numbers& s : differences("ba", "objective", input, field))
      for (std::size_t r = 0; r < 2; ++r) slopes[r].push_back(s[r]);
  for (std::size_t r = 0; r < 2; ++r)
    CHECK(distance(Numbers(values.begin() + static_cast<std::ptrdiff_t>(15 * r),
                           values.begin() + static_cast<std::ptrdiff_t>(15 * (r + 1))),
                   slopes[r]) < 1e-8);
  CHECK(values.back() == doctest::Approx(-1.4));
}

TEST_CASE("ht: a dense Jacobian, of points on vertices and within triangles") {
  for (const bool full : {false, true}) {
    CAPTURE(full);
    Rng rng(4);
    const json input = random_hand(rng, 7, 4, full);
    const Numbers found = check_both("ht", "objective", "jacobian", input);
    const std::vector<Numbers> by_theta = differences("ht", "objective", input, "theta");
    const std::size_t more = full ? 2 : 0, columns = 26 + more;
    REQUIRE(found.size() == 12 * columns);
    Numbers rows, expected;
    for (std::size_t r = 0; r < 12; ++r)
      for (std::size_t k = 0; k < 26; ++k)
        rows.push_back(found[r * columns + more + k]), expected.push_back(by_theta[k][r]);
    CHECK(distance(rows, expected) < 1e-8);
    if (!full) continue;
    const std::vector<Numbers> by_us = differences("ht", "objective", input, "us");  // of each point's own us
    for (std::size_t r = 0; r < 12; ++r)
      for (std::size_t k = 0; k < 2; ++k)
        CHECK(found[r * columns + k] == doctest::Approx(by_us[2 * (r / 3) + k][r]).epsilon(1e-7));
  }
}

TEST_CASE("saddle and particle: derivatives within derivatives, all four ways") {
  for (const char* modes : {"ff", "fr", "rf", "rr"}) {
    CAPTURE(modes);
    for (double e : run("saddle", modes, {{"start", {1.0, -0.7}}}, Engine::eager).get<Numbers>())
      CHECK(std::abs(e) < 1e-4);
    const auto particle = [&](Engine engine) { return run("particle", modes, {{"w", 0.3}}, engine).get<double>(); };
    CHECK(particle(Engine::eager) == doctest::Approx(particle(Engine::plain)).epsilon(1e-4));
    CHECK(particle(Engine::compiled) == doctest::Approx(particle(Engine::plain)).epsilon(1e-4));
  }
}

TEST_CASE("what the evals refuse") {
  CHECK_THROWS_WITH_AS(eval("nothing"), doctest::Contains("no eval 'nothing': there are hello, lse"),
                       std::runtime_error);
  CHECK_THROWS_WITH_AS(eval("lse").make("inverse", {{"x", {1.0}}}, Engine::eager),
                       doctest::Contains("lse has no function 'inverse'"), std::runtime_error);
  CHECK_THROWS_AS(eval("lse").make("primal", {{"y", {1.0}}}, Engine::eager), json::exception);
  CHECK_THROWS_AS(eval("det").make("primal", {{"A", {1.0, 2.0}}, {"ell", 2}}, Engine::eager), std::runtime_error);
  CHECK_THROWS_AS(eval("saddle").make("fx", {{"start", {1.0, 1.0}}}, Engine::eager), std::runtime_error);
}
