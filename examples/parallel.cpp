// Data-parallel training in a loop of one's own: the batch is 8 shards, whatever the number of processes and threads,
// and so the last loss that is printed has the same digits for each of
//
//     parallel        mpirun -n 2 parallel        mpirun -n 8 parallel
#include <cstdio>

#include <rewind/models/parallel/mpi.h>
#include <rewind/models/parallel/sharded.h>
#include <rewind/rewind.h>

using namespace rw;

int main() {
  constexpr Index shards = 8, rows = 16, length = 20, hidden = 32;
  const auto group = open_group();
  Rng start(1);
  LstmCell cell(2, hidden, start);
  Linear head(hidden, 1, start);
  std::vector<NamedParameter> parameters = cell.parameters();
  for (const NamedParameter& p : head.parameters()) parameters.push_back(p);
  Adam optimizer(parameters, {.rate = 0.003});
  ShardedGradients sharded(parameters, shards, *group);

  double loss = 0;
  for (std::uint64_t step = 0; step < 200; ++step) {
    loss = sharded.step([&](Index shard, Gradients& into) {
      Rng rng = Rng(7).split(step * shards + static_cast<std::uint64_t>(shard));  // data belong to a shard
      Array x({length, rows, 2}, DType::f32), y({rows, 1}, DType::f32);
      for (Index t = 0; t < length; ++t)
        for (Index n = 0; n < rows; ++n) {  // the sum of the numbers that are marked
          const double value = rng.uniform(), mark = rng.below(length) < 2 ? 1 : 0;
          x.set({t, n, 0}, value);
          x.set({t, n, 1}, mark);
          y.set({n, 0}, y.at({n, 0}) + value * mark);
        }
      Tape tape;
      const auto states = unroll(cell, tape.constant(x), cell.zero_state(tape, rows));
      const Tensor part = mse(head(states.back().h), tape.constant(y)) * (1.0 / shards);
      backward(part, into);
      return part.item();
    });
    clip_grad_norm(parameters, 1);
    optimizer.step();
  }
  if (group->rank() == 0) std::printf("%d processes, mean squared error %.17g\n", group->size(), loss);
}
