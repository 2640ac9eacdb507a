// Many-to-many, synced: what happens in each frame of a video. Something small moves on a noisy canvas: it stands
// still, goes left, right, up or down, and changes its mind every few frames; each frame is labelled with the move that
// led to it. Convolutions look at a frame, an LSTM at all frames so far (as Donahue et al., 2015, label videos). The
// same convolutions without the LSTM see where a thing is, but not where it came from. Videos are drawn anew for every
// update, those of the test too.
//
// Longer: video --steps 4000 --noise 0.3
#include <algorithm>

#include <rewind/rewind.h>

#include "step.h"
#include "task.h"

using namespace rw;

namespace {

constexpr Index batch = 32, frames = 16, size = 16, width = 64;
constexpr Index moves = 5;  // still, left, right, up, down
constexpr Index to_rows[moves] = {0, 0, 0, -1, 1}, to_cols[moves] = {0, -1, 1, 0, 0};

struct Batch {
  Array x;  // [T, N, size, size]
  Array y;  // [T, N] moves
};

/// A square, a ring or a cross of 4 x 4.
bool is_ink(Index shape, Index row, Index col) {
  const bool edge = row == 0 || row == 3 || col == 0 || col == 3, middle = row == 1 || col == 1;
  return shape == 0 || (shape == 1 ? edge : middle);
}

struct Thing {
  Index shape, row, col, move = 0, left = 0;  // frames until it changes its mind
  float ink;

  explicit Thing(Rng& rng)
      : shape(rng.below(3)),
        row(rng.below(size - 3)),
        col(rng.below(size - 3)),
        ink(static_cast<float>(rng.uniform(0.6, 1))) {}
  bool may(Index to) const {
    const Index r = row + to_rows[to], c = col + to_cols[to];
    return r >= 0 && c >= 0 && r + 4 <= size && c + 4 <= size;
  }
  void go(Rng& rng) {
    if (left-- == 0 || !may(move)) {
      do move = rng.below(moves);
      while (!may(move));
      left = 2 + rng.below(4);
    }
    row += to_rows[move], col += to_cols[move];
  }
};

Batch draw(Rng& rng, double noise) {
  Batch b{zeros({frames, batch, size, size}), zeros({frames, batch}, DType::i32)};
  for (float& pixel : b.x.span<float>()) pixel = static_cast<float>(noise * rng.normal());
  for (Index n = 0; n < batch; ++n) {
    Thing thing(rng);
    for (Index t = 0; t < frames; ++t) {
      if (t > 0) thing.go(rng);
      const Index frame = t * batch + n;
      b.y.span<std::int32_t>()[static_cast<std::size_t>(frame)] = static_cast<std::int32_t>(thing.move);
      for (Index r = 0; r < 4; ++r)
        for (Index c = 0; c < 4; ++c)
          if (is_ink(thing.shape, r, c))
            b.x.span<float>()[static_cast<std::size_t>((frame * size + thing.row + r) * size + thing.col + c)] +=
                thing.ink;
    }
  }
  return b;
}

/// Frames [T, N, size, size] to features [T, N, width].
class Eye : public Module {
 public:
  explicit Eye(Rng& rng)
      : Module("eye"),
        first_(child("first", Conv2d(1, 8, 3, rng, {.stride = 2, .padding = 1}))),
        second_(child("second", Conv2d(8, 16, 3, rng, {.stride = 2, .padding = 1}))),
        out_(child("out", Linear(size * size, width, rng))) {}
  Tensor operator()(Tensor x) const {
    const Index T = x.size(0), N = x.size(1);
    const Tensor y = relu(second_(relu(first_(reshape(x, {T * N, 1, size, size})))));  // [T N, 16, size / 4, size / 4]
    return relu(out_(reshape(y, {T, N, size * size})));
  }

 private:
  Conv2d &first_, &second_;
  Linear& out_;
};

class WithMemory : public Module {
 public:
  explicit WithMemory(Rng& rng)
      : Module("with_memory"),
        eye_(child("eye", Eye(rng))),
        memory_(child("memory", Readout{LstmCell(width, width, rng), Linear(width, moves, rng)})) {}
  Tensor operator()(Tensor x) const { return memory_(eye_(x)); }

 private:
  Eye& eye_;
  Readout<LstmCell>& memory_;
};

class FrameByFrame : public Module {
 public:
  explicit FrameByFrame(Rng& rng)
      : Module("frame_by_frame"), eye_(child("eye", Eye(rng))), head_(child("head", Linear(width, moves, rng))) {}
  Tensor operator()(Tensor x) const { return head_(eye_(x)); }

 private:
  Eye& eye_;
  Linear& head_;
};

/// Trains, and gives the part of frames that are labelled right in fresh videos. The first frame has no move.
template <class Net>
double learn(Task& task, const std::string& name, const Net& net) {
  Rng data = Rng(task.seed()).split(1), fresh = Rng(task.seed()).split(2);
  const double noise = task.number("noise");
  const auto parameters = net.parameters();
  Adam adam(parameters, {.rate = 3e-3});
  const Batch example = draw(data, noise);
  auto update = make_step(
      task,
      [&](Tape&, Tensor x, Tensor y) {
        const Tensor loss = cross_entropy(net(x), y);
        backward(loss);
        return loss;
      },
      example.x, example.y);
  auto label = make_step(
      task, [&](Tape&, Tensor x) { return slice(net(x), 0, 1, frames - 1); }, example.x);
  const Index updates = task.count("steps");
  const Schedule rate = falling(3e-3, updates, 0.5);
  for (Index i = 1; i <= updates; ++i) {
    const Batch b = draw(data, noise);
    const double loss = update(b.x, b.y).item();
    clip_grad_norm(parameters, 1);
    adam.set_rate(rate(i - 1));
    adam.step();
    task.progress(name, i, updates, "cross entropy ", loss);
  }
  Score score;
  for (Index i = 0; i < (task.quick() ? 4 : 40); ++i) {
    const Batch b = draw(fresh, noise);
    Array y({frames - 1, batch}, DType::i32);
    const auto from = b.y.span<std::int32_t>().subspan(static_cast<std::size_t>(batch));
    std::copy(from.begin(), from.end(), y.span<std::int32_t>().begin());
    score.add(label(b.x).value(), y);
  }
  return score.accuracy();
}

int video(Task& task) {
  Rng rng(task.seed());
  const WithMemory recurrent(rng);
  const FrameByFrame alone(rng);
  const double one = learn(task, "frame by frame", alone), all = learn(task, "LSTM", recurrent);
  const bool ok = task.quick() ? all > one : all >= 0.97 && one < 0.6;
  return task.result(ok, "frames of fresh videos labelled right: convolutions and LSTM ", 100 * all,
                     "%, frame by frame ", 100 * one, "%");
}

}  // namespace

int main(int argc, char** argv) {
  return run_task(argc, argv, {{"steps", "1500", "100"}, {"noise", "0.1", "0.1"}}, video);
}
