#include <cmath>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/core/threads.h>
#include <rewind/models/parallel/sharded.h>
#include <rewind/ops/ops.h>

#include "threads.h"

using namespace rw;

namespace {

// A parameter of each type, one of them under two names.
struct Net {
  Parameter W{"W", Array({31, 7}, DType::f32)};
  Parameter V{"V", Array({7}, DType::f64)};
  std::vector<NamedParameter> named() { return {{"W", &W}, {"V", &V}, {"again", &W}}; }
};

// Gradients that differ between shards by orders of magnitude, so that the order of sums shows.
double read(Net& net, Index shard, Gradients& into) {
  const double scale = std::pow(-3.7, static_cast<double>(shard));
  Array& w = into.sum(net.W.data());
  for (float& x : w.span<float>()) x += static_cast<float>(scale * 0.1);
  Array& v = into.sum(net.V.data());
  for (double& x : v.span<double>()) x += scale / 7;
  return scale;
}

}  // namespace

TEST_CASE("shards are added up along the tree") {
  Net net;
  const auto named = net.named();
  for (const Index shards : {1, 2, 3, 7, 8}) {
    CAPTURE(shards);
    net.W.zero_grad();
    net.V.zero_grad();
    ShardedGradients sharded(named, shards);
    CHECK(sharded.first() == 0);
    CHECK(sharded.last() == shards);
    const double loss = sharded.step([&](Index s, Gradients& into) { return read(net, s, into); });
    std::vector<double> v;
    std::vector<float> w;
    std::vector<double> losses;
    for (Index s = 0; s < shards; ++s) {
      const double scale = std::pow(-3.7, static_cast<double>(s));
      losses.push_back(scale);
      v.push_back(scale / 7);
      w.push_back(static_cast<float>(scale * 0.1));
    }
    for (std::size_t step = 1; step < v.size(); step *= 2)
      for (std::size_t i = 0; i + step < v.size(); i += 2 * step) {
        losses[i] += losses[i + step];
        v[i] += v[i + step];
        w[i] += w[i + step];
      }
    CHECK(loss == losses[0]);
    for (const double x : std::as_const(net.V).grad().span<double>()) CHECK(x == v[0]);
    for (const float x : std::as_const(net.W).grad().span<float>()) CHECK(x == w[0]);
  }
}

TEST_CASE("the number of threads changes no bit of the sums, and steps add to what is there") {
  Net net;
  const auto named = net.named();
  const int before = threads();
  std::vector<Array> seen;
  for (const int n : {1, 2, 3}) {
    set_threads(n);
    net.W.zero_grad();
    ShardedGradients sharded(named, 5);
    for (int i = 0; i < 2; ++i) sharded.step([&](Index s, Gradients& into) { return read(net, s, into); });
    seen.push_back(std::as_const(net.W).grad());
  }
  set_threads(before);
  CHECK(seen[0] == seen[1]);
  CHECK(seen[0] == seen[2]);
}

TEST_CASE("a shard that fails ends the step, and no gradient has changed") {
  Net net;
  const auto named = net.named();
  ShardedGradients sharded(named, 4);
  sharded.step([&](Index s, Gradients& into) { return read(net, s, into); });
  const Array w = std::as_const(net.W).grad();
  const auto fails = [&](Index s, Gradients& into) {
    if (s == 2) throw Error("shard 2 has no rows");
    return read(net, s, into);
  };
  CHECK_THROWS_WITH_AS(sharded.step(fails), "shard 2 has no rows", GroupError);
  CHECK(std::as_const(net.W).grad() == w);
  CHECK(sharded.sum([](Index s) { return static_cast<double>(s); }) == 6);
}

namespace {

// The loss, and the gradients of all parameters, of each of so many processes.
using Outcome = std::pair<double, std::vector<Array>>;
std::vector<Outcome> outcomes(int ranks, Index shards, Index size) {
  test::Threads threads(ranks);
  std::vector<Outcome> all(static_cast<std::size_t>(ranks));
  std::vector<std::thread> running;
  for (int rank = 0; rank < ranks; ++rank)
    running.emplace_back([&, rank] {
      test::Threads::One group(threads, rank);
      Parameter a("a", Array({size}, DType::f32)), b("b", Array({1}, DType::f64));
      const std::vector<NamedParameter> named{{"a", &a}, {"b", &b}};
      ShardedGradients sharded(named, shards, group);
      Outcome& out = all[static_cast<std::size_t>(rank)];
      for (int step = 0; step < 2; ++step)
        out.first = sharded.step([&](Index shard, Gradients& into) {
          const double scale = std::pow(-3.7, static_cast<double>(shard));
          float number = 0.1F;
          for (float& x : into.sum(a.data()).span<float>()) x += static_cast<float>(scale) * (number += 0.01F);
          for (double& x : into.sum(b.data()).span<double>()) x += scale / 7;
          return scale;
        });
      for (const Parameter* p : {&a, &b}) out.second.push_back(p->grad());
    });
  for (std::thread& t : running) t.join();
  return all;
}

}  // namespace

TEST_CASE("any number of processes gives the same bits: of fewer numbers, or shards, than processes too") {
  for (const Index size : {1, 2, 7, 4095, 4096, 4097})
    for (const Index shards : {1, 2, 3, 7, 8}) {
      CAPTURE(size);
      CAPTURE(shards);
      const Outcome alone = outcomes(1, shards, size)[0];
      for (const int ranks : {2, 3, 4, 5, 9})
        for (const Outcome& one : outcomes(ranks, shards, size)) {
          CAPTURE(ranks);
          CHECK(one.first == alone.first);
          CHECK(one.second == alone.second);
        }
    }
}

TEST_CASE(
    "a shard that fails in one process ends the step in all, also after nodes were sent, and the next one goes well") {
  constexpr Index shards = 8, size = 5;
  for (const int ranks : {2, 3, 9}) {
    CAPTURE(ranks);
    test::Threads threads(ranks);
    std::vector<std::string> errors(static_cast<std::size_t>(ranks));
    std::vector<double> sums(errors.size()), losses(errors.size());
    std::vector<std::thread> running;
    for (int rank = 0; rank < ranks; ++rank)
      running.emplace_back([&, rank] {
        const auto r = static_cast<std::size_t>(rank);
        test::Threads::One group(threads, rank);
        Parameter a("a", Array({size}, DType::f32));
        const std::vector<NamedParameter> named{{"a", &a}};
        ShardedGradients sharded(named, shards, group);
        const auto read = [&](Index shard, Gradients& into) {
          for (float& x : into.sum(a.data()).span<float>()) x += static_cast<float>(shard);
          return static_cast<double>(shard);
        };
        try {
          sharded.step([&](Index shard, Gradients& into) {
            if (shard == 4) throw Error("no rows");
            return read(shard, into);
          });
        } catch (const GroupError& error) {
          errors[r] = error.what();
        }
        losses[r] = sharded.step(read);
        sums[r] = std::as_const(a).grad().at({size - 1});
      });
    for (std::thread& t : running) t.join();
    const int guilty = ranks == 2 ? 1 : ranks == 3 ? 1 : 5;
    for (std::size_t r = 0; r < errors.size(); ++r) {
      CHECK(errors[r] == "process " + std::to_string(guilty) + " of " + std::to_string(ranks) + ": no rows");
      CHECK(losses[r] == 28);
      CHECK(sums[r] == 28);
    }
  }
}

TEST_CASE("a gradient that was replaced by another shape is told before anything is read") {
  Net net;
  const auto named = net.named();
  ShardedGradients sharded(named, 2);
  net.V.grad() = Array({3}, DType::f64);
  bool read_one = false;
  CHECK_THROWS_AS(sharded.step([&](Index, Gradients&) { return read_one = true, 1.0; }), GroupError);
  CHECK(!read_one);
}

TEST_CASE("a shard's gradient that was replaced by another shape is refused") {
  Net net;
  const auto named = net.named();
  ShardedGradients sharded(named, 2);
  CHECK_THROWS_WITH_AS(sharded.step([&](Index shard, Gradients& into) {
    if (shard == 1) into.sum(net.W.data()) = Array({32, 7}, DType::f32);
    return 1.0;
  }),
                       "ShardedGradients: shard 1 has a gradient of (32, 7) for W of (31, 7)", GroupError);
}

TEST_CASE("no memory is said in words") {
  Net net;
  const auto named = net.named();
  ShardedGradients sharded(named, 2);
  CHECK_THROWS_WITH_AS(sharded.step([](Index, Gradients&) -> double { throw std::bad_alloc(); }), "not enough memory",
                       GroupError);
}

TEST_CASE("texts that differ are shown where they do") {
  test::Threads threads(2);
  const std::string same(100, '-');
  std::vector<std::string> errors(2);
  std::vector<std::thread> running;
  for (int rank = 0; rank < 2; ++rank)
    running.emplace_back([&, rank] {
      test::Threads::One group(threads, rank);
      require_same(group, "text", same);
      try {
        require_same(group, "text", same + (rank == 0 ? "one" : "two") + same);
      } catch (const GroupError& error) {
        errors[static_cast<std::size_t>(rank)] = error.what();
      }
    });
  for (std::thread& t : running) t.join();
  const std::string before = "..." + same.substr(0, 20), after = same.substr(0, 57) + "...";
  CHECK(errors[0] == "process 1 of 2 has another text, '" + before + "two" + after + "', than process 0, '" + before +
                         "one" + after + "': they must be the same");
  CHECK(errors[1] == errors[0]);
}

TEST_CASE("a group of one tells itself everything") {
  CHECK(gather(alone(), "word") == std::vector<std::string>{"word"});
  CHECK(gather(alone(), "") == std::vector<std::string>{""});
  CHECK(gather_values(alone(), 2.5) == std::vector<double>{2.5});
  CHECK_NOTHROW(require_same(alone(), "version", "1"));
  CHECK_NOTHROW(throw_errors_of_any(alone(), std::nullopt));
  CHECK_THROWS_AS(throw_errors_of_any(alone(), "no"), GroupError);
  CHECK_THROWS_WITH_AS(ShardedGradients(std::vector<NamedParameter>{}, 0),
                       "ShardedGradients: a batch has 1 shard or more, not 0", Error);
}
