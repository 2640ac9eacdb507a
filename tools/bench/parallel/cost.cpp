// What it costs that sums over processes have one order: a step of ShardedGradients beside the same shards added up in
// each process and then by MPI_Allreduce, whose order is the library's; in turn; medians, and the least. On a machine
// with other work processor time says most: Rewind's processes sleep while they wait, but MPI_Allreduce does not. And
// what the model of time in docs/distributed.md needs: the latency of a message and the bandwidth of a pair.
//
//     mpirun -n 2 build/bench/bench/distributed_cost [MS]        (as JSON, from process 0)
//
// With MS each shard takes so long, asleep, before its gradient is there: how much of the sums other shards hide.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <mpi.h>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <rewind/core/threads.h>
#include <rewind/models/parallel/mpi.h>
#include <rewind/models/parallel/sharded.h>

using namespace rw;

namespace {

constexpr Index shards = 8;

/// Of the slowest process.
struct Seconds {
  double wall, processor;
};

Seconds seconds_of(const std::function<void()>& f) {
  MPI_Barrier(MPI_COMM_WORLD);
  const auto begin = std::chrono::steady_clock::now();
  const std::clock_t busy = std::clock();
  f();
  const double ticks = CLOCKS_PER_SEC;
  double mine[] = {std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(),
                   static_cast<double>(std::clock() - busy) / ticks};
  double slowest[2] = {};
  MPI_Allreduce(mine, slowest, 2, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
  return {slowest[0], slowest[1]};
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// Medians, and the least.
struct Times {
  double wall, least, processor;
};

Times times_of(const std::vector<Seconds>& rounds) {
  std::vector<double> wall, processor;
  for (const Seconds& s : rounds) {
    wall.push_back(s.wall);
    processor.push_back(s.processor);
  }
  return {median(wall), *std::min_element(wall.begin(), wall.end()), median(processor)};
}

struct Costs {
  Times ordered, unordered;
};

Costs costs(Group& group, Index size, int rounds, std::chrono::duration<double, std::milli> work) {
  Parameter p("p", Array({size}, DType::f32));
  const std::vector<NamedParameter> named{{"p", &p}};
  ShardedGradients sharded(named, shards, group);
  const auto count = static_cast<std::size_t>(size);
  std::vector<std::vector<float>> mine(static_cast<std::size_t>(sharded.last() - sharded.first()),
                                       std::vector<float>(count, 1));
  std::vector<float> sum(count);
  const auto ordered = [&] {
    sharded.step([&](Index shard, Gradients& into) {  // moves them to where they are added up, as a real step does
      std::this_thread::sleep_for(work);
      into.sum(p.data()) = Array(mine[static_cast<std::size_t>(shard - sharded.first())]);
      return 0.0;
    });
  };
  const auto unordered = [&] {
    std::fill(sum.begin(), sum.end(), 0.0F);
    for (const std::vector<float>& shard : mine) {
      std::this_thread::sleep_for(work);
      for (std::size_t i = 0; i < count; ++i) sum[i] += shard[i];
    }
    MPI_Allreduce(MPI_IN_PLACE, sum.data(), static_cast<int>(size), MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
    float* const to = p.grad().span<float>().data();
    for (std::size_t i = 0; i < count; ++i) to[i] += sum[i];
  };
  std::vector<Seconds> a, b;
  for (int round = 0; round < rounds + 2; ++round) {  // the first two make room and open connections
    const Seconds first = seconds_of(ordered), second = seconds_of(unordered);
    if (round < 2) continue;
    a.push_back(first);
    b.push_back(second);
  }
  return {times_of(a), times_of(b)};
}

/// Seconds for `bytes` there and back, halved.
double one_way(int rank, std::size_t bytes, int rounds) {
  std::vector<char> data(bytes);
  std::vector<Seconds> times;
  for (int round = 0; round < rounds; ++round) {
    times.push_back(seconds_of([&] {
      const int n = static_cast<int>(bytes);
      if (rank == 0) MPI_Send(data.data(), n, MPI_CHAR, 1, 0, MPI_COMM_WORLD);
      if (rank < 2) MPI_Recv(data.data(), n, MPI_CHAR, 1 - rank, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
      if (rank == 1) MPI_Send(data.data(), n, MPI_CHAR, 0, 0, MPI_COMM_WORLD);
    }));
  }
  return times_of(times).wall / 2;
}

}  // namespace

int main(int argc, char** argv) {
  const std::chrono::duration<double, std::milli> work(argc > 1 ? std::atof(argv[1]) : 0);
  const auto group = open_group();
  if (group->size() < 2) {
    fmt::print(stderr, "distributed_cost: start it by mpirun, with 2 processes or more\n");
    return 2;
  }
  set_threads(1);
  std::vector<std::string> rows;
  for (const Index size : {239'297, 1'000'000, 10'000'000}) {
    const Costs c = costs(*group, size, size > 2'000'000 ? 5 : 51, work);
    const auto shown = [](const char* name, const Times& t) {
      return fmt::format(R"("{0}_ms": {1:.4g}, "{0}_least_ms": {2:.4g}, "{0}_processor_ms": {3:.4g})", name,
                         1e3 * t.wall, 1e3 * t.least, 1e3 * t.processor);
    };
    rows.push_back(fmt::format(R"({{"parameters": {}, {}, {}}})", size, shown("ordered", c.ordered),
                               shown("unordered", c.unordered)));
  }
  const double latency = one_way(group->rank(), 1, 201), large = one_way(group->rank(), 8'000'000, 31);
  if (group->rank() == 0)
    fmt::print("{{\"processes\": {}, \"latency_us\": {:.4g}, \"bandwidth_GBs\": {:.4g}, \"sums\": [{}]}}\n",
               group->size(), 1e6 * latency, 8e-3 / (large - latency), fmt::join(rows, ", "));
}
