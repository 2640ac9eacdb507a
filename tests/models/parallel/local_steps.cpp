#include <memory>
#include <thread>

#include <doctest/doctest.h>

#include <rewind/models/parallel/local_steps.h>

#include "threads.h"

using namespace rw;

namespace {

// A parameter of each type, one of them under two names.
struct Net {
  Parameter W{"W", full({3, 5}, 0.25)};
  Parameter V{"V", full({7}, -1, DType::f64)};
  std::vector<NamedParameter> named() { return {{"W", &W}, {"V", &V}, {"again", &W}}; }
};

// What a shard does by itself: another way for each, and for each meeting.
void go(Net& net, Index shard, int meeting) {
  const double way = 0.1 * static_cast<double>(shard + 1) + 0.013 * meeting;
  Array w = net.W.value(), v = net.V.value();
  for (float& x : w.span<float>()) x += static_cast<float>(way);
  for (double& x : v.span<double>()) x -= way / 3;
  net.W.set(w);
  net.V.set(v);
}

// The model's parameters after three meetings, of each of so many processes.
std::vector<std::vector<Array>> outcomes(int ranks, Index shards) {
  test::Threads threads(ranks);
  std::vector<std::vector<Array>> all(static_cast<std::size_t>(ranks));
  std::vector<std::thread> running;
  for (int rank = 0; rank < ranks; ++rank)
    running.emplace_back([&, rank] {
      test::Threads::One group(threads, rank);
      Net model;
      ShardedGradients sharded(model.named(), shards, group);
      LocalSteps local(model.named(), sharded);
      std::vector<std::unique_ptr<Net>> copies;
      for (Index s = sharded.first(); s < sharded.last(); ++s) copies.push_back(std::make_unique<Net>());
      const auto copy = [&](Index s) -> Net& { return *copies[static_cast<std::size_t>(s - sharded.first())]; };
      for (int meeting = 0; meeting < 3; ++meeting) {
        for (Index s = sharded.first(); s < sharded.last(); ++s) go(copy(s), s, meeting);
        local.meet([&](Index s) { return copy(s).named(); });
      }
      for (const auto& one : copies) {
        CHECK(one->W.value() == model.W.value());
        CHECK(one->V.value() == model.V.value());
      }
      all[static_cast<std::size_t>(rank)] = {model.W.value(), model.V.value()};
    });
  for (std::thread& t : running) t.join();
  return all;
}

}  // namespace

TEST_CASE("copies meet: an outer step of SGD with Nesterov's momentum along the mean of their ways") {
  const auto out = outcomes(1, 2)[0];
  double w = 0.25, v = -1, mw = 0, mv = 0;
  for (int meeting = 0; meeting < 3; ++meeting) {
    const double mean = 0.15 + 0.013 * meeting, gw = -mean, gv = mean / 3;
    mw = 0.9 * mw + gw;
    mv = 0.9 * mv + gv;
    w -= 0.7 * (gw + 0.9 * mw);
    v -= 0.7 * (gv + 0.9 * mv);
  }
  for (const float x : out[0].span<float>()) CHECK(x == doctest::Approx(w).epsilon(1e-6));
  for (const double x : out[1].span<double>()) CHECK(x == doctest::Approx(v).epsilon(1e-14));
}

TEST_CASE("copies meet: the same bits for any number of processes, also of more than shards") {
  for (const Index shards : {1, 2, 3, 8}) {
    CAPTURE(shards);
    const auto alone = outcomes(1, shards)[0];
    for (const int ranks : {2, 3, 5, 9})
      for (const auto& one : outcomes(ranks, shards)) CHECK(one == alone);
  }
}

TEST_CASE("copies that are not the model's are refused, and nothing is changed") {
  Net model, one;
  Parameter other("other", full({2}, 1));
  ShardedGradients sharded(model.named(), 1);
  LocalSteps local(model.named(), sharded);
  go(one, 0, 0);
  const Array before = model.W.value();
  CHECK_THROWS_WITH_AS(local.meet([&](Index) {
    return std::vector<NamedParameter>{{"W", &one.W}};
  }),
                       "LocalSteps: the copy of shard 0 has 1 parameters, the model 3", GroupError);
  CHECK_THROWS_WITH_AS(local.meet([&](Index) {
    return std::vector<NamedParameter>{{"W", &one.W}, {"other", &other}, {"again", &one.W}};
  }),
                       "LocalSteps: the copy of shard 0 has other of (2) in the place of the model's V of (7)",
                       GroupError);
  CHECK(model.W.value() == before);
  CHECK_THROWS_AS(LocalSteps(model.named(), sharded, {.momentum = 1}), Error);
}

TEST_CASE("the outer step goes on from its saved state") {
  Net models[2], copies[2];
  std::vector<NamedArray> saved;
  for (int resumed = 0; resumed < 2; ++resumed) {
    Net &model = models[resumed], &one = copies[resumed];
    ShardedGradients sharded(model.named(), 1);
    auto local = std::make_unique<LocalSteps>(model.named(), sharded);
    for (int meeting = 0; meeting < 4; ++meeting) {
      if (resumed != 0 && meeting == 2) {
        saved = local->state();
        local = std::make_unique<LocalSteps>(model.named(), sharded);
        local->set_state(saved);
      }
      go(one, 0, meeting);
      local->meet([&](Index) { return one.named(); });
    }
  }
  CHECK(models[0].W.value() == models[1].W.value());
  CHECK(models[0].V.value() == models[1].V.value());
}
