#pragma once

// How a character model learns a text, in tasks that have one.

#include <rewind/models/models.h>
#include <rewind/ops/ops.h>

#include "step.h"

namespace rw {

/// The task's `steps` updates, one a chunk, at this rate; the state is carried on from chunk to chunk, without
/// gradient. Gives the held-out loss, in nats a character.
inline double learn_text(Task& task, const CharModel& model, const TextData& data, Index batch, const Schedule& rate) {
  const Index updates = task.count("steps");
  const auto parameters = model.parameters();
  Adam adam(parameters);
  Tape tape;
  const CharModel::State zero = model.zero_state(tape, batch);
  const TextData::Chunk example = data.chunk(0);
  const auto loss_of = [&](Tensor x, Tensor y, CharModel::State& s) { return cross_entropy(model.logits(x, s), y); };
  auto learn = make_step(
      task,
      [&](Tape&, Tensor x, Tensor y, CharModel::State s) {
        const Tensor loss = loss_of(x, y, s);
        backward(loss);
        return std::pair(loss, s);
      },
      example.inputs, example.targets, zero);
  auto test = make_step(
      task, [&](Tape&, Tensor x, Tensor y, CharModel::State s) { return std::pair(loss_of(x, y, s), s); },
      example.inputs, example.targets, zero);
  CharModel::State state = zero;
  for (Index i = 0; i < updates; ++i) {
    const Index chunk = i % data.train_chunks();
    const TextData::Chunk c = data.chunk(chunk);
    const auto [loss, next] = learn(c.inputs, c.targets, chunk == 0 ? zero : state);
    state = next;
    clip_grad_norm(parameters, 1);
    adam.set_rate(rate(i));
    adam.step();
    task.progress("lstm", i + 1, updates, loss.item(), " nats a character");
  }
  double loss = 0;
  state = zero;
  for (Index c = data.train_chunks(); c < data.chunks(); ++c) {
    const TextData::Chunk chunk = data.chunk(c);
    const auto [l, next] = test(chunk.inputs, chunk.targets, state);
    state = next;
    loss += l.item() / static_cast<double>(data.held_out_chunks());
  }
  return loss;
}

}  // namespace rw
