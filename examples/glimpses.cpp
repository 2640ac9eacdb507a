// Recurrent visual attention (Mnih, Heess, Graves and Kavukcuoglu, 2014): a digit of 12 x 12 lies somewhere on a canvas
// of 28 x 28, and a network that never sees all of it looks six times through a window of 8 x 8 pixels and one of three
// times the width that is three times as coarse. An LSTM collects what was seen and says where to look next and, in the
// end, which digit it was. Where to look is drawn at random around what it says, and learned by REINFORCE (Williams,
// 1992) with a baseline: what came before a right answer becomes likelier. At least 90% of fresh pictures must be
// right. The same with clutter, pieces of 4 x 4 of other digits (a third of a digit wide, as there); and each time a
// feed-forward network of as many parameters that sees the whole picture. Digits are drawn by a shaky hand, anew for
// every update (digits.h). Pictures are drawn with the small windows in their order, 1 to 6: glimpses.svg.
//
// Longer: glimpses --steps 20000
#include <algorithm>
#include <cmath>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include <rewind/rewind.h>

#include "digits.h"
#include "picture.h"
#include "step.h"
#include "task.h"

using namespace rw;

namespace {

constexpr Index batch = 128, size = 28, window = 8, coarse = 3, glimpses = 6, width = 96;
constexpr double spread = 0.15;  // of where it looks around where it means to, 1 being half a canvas
constexpr Index dot = 6, margin = 30, cell = size * dot + 2 * margin;  // of the drawing

struct Batch {
  Array x, y;    // [N, size, size], [N] digits
  Array chance;  // [glimpses, N, 2], standard normal
};

/// A digit, or a piece of it with a side of `part`, put on the canvas somewhere.
void put(std::span<float> canvas, Index digit, Index part, Rng& rng) {
  const std::vector<float> pixels = draw_digit(digit, rng);
  const Index top = rng.below(digit_size - part + 1), left = rng.below(digit_size - part + 1);
  const Index row = rng.below(size - part + 1), col = rng.below(size - part + 1);
  for (Index r = 0; r < part; ++r)
    for (Index c = 0; c < part; ++c) {
      float& pixel = canvas[static_cast<std::size_t>((row + r) * size + col + c)];
      pixel = std::max(pixel, pixels[static_cast<std::size_t>((top + r) * digit_size + left + c)]);
    }
}

std::span<float> picture(Batch& b, Index n) {
  return b.x.span<float>().subspan(static_cast<std::size_t>(n * size * size), size * size);
}

Batch draw(Rng& rng, Index clutter) {
  Batch b{zeros(batch, size, size), zeros({batch}, DType::i32), zeros(glimpses, batch, 2)};
  for (Index n = 0; n < batch; ++n) {
    const Index digit = rng.below(10);
    b.y.set({n}, static_cast<double>(digit));
    put(picture(b, n), digit, digit_size, rng);
    for (Index i = 0; i < clutter; ++i) put(picture(b, n), rng.below(10), 4, rng);
  }
  for (float& number : b.chance.span<float>()) number = static_cast<float>(rng.normal());
  return b;
}

/// Weights [N, window, size] of pixels around a centre [N], from -1 to 1 across the canvas: triangles as wide as
/// `pixels` apart, so that a window anywhere is two products of matrices.
Tensor lens(Tensor centre, double pixels) {
  Tape& tape = centre.tape();
  Array offsets = zeros(1, window, size);
  for (Index i = 0; i < window; ++i)
    for (Index p = 0; p < size; ++p)
      offsets.set({0, i, p}, (static_cast<double>(i) - 0.5 * (window - 1)) * pixels - static_cast<double>(p));
  const Tensor middle = reshape((centre + 1) * (0.5 * (size - 1)), {centre.size(0), 1, 1});
  return maximum(1 - abs(middle + tape.constant(offsets)) / pixels, 0) / pixels;
}

struct Seen {
  Tensor logits;         // [N, 10]
  Tensor places, means;  // [glimpses, N, 2]: row and column, where it looked and meant to; first the middle
  Tensor baselines;      // [glimpses - 1, N]: how often it will be right, it thinks
};

class Looker : public Module {
 public:
  explicit Looker(Rng& rng)
      : Module("looker"),
        see_(child("see", Linear(2 * window * window, width, rng))),
        where_(child("where", Linear(2, width, rng))),
        cell_(child("cell", LstmCell(width, width, rng))),
        aim_(child("aim", Linear(width, 2, rng))),
        baseline_(child("baseline", Linear(width, 1, rng))),
        head_(child("head", Linear(width, 10, rng))) {}

  /// x [N, size, size]; chance [glimpses, N, 2]: zeros to look where it means to.
  Seen operator()(Tensor x, Tensor chance) const {
    const Index N = x.size(0);
    LstmCell::State state = cell_.zero_state(x.tape(), N);
    std::vector<Tensor> places{x.tape().constant(0, {N, 2})}, means = places, baselines;
    for (Index t = 0;; ++t) {
      state = cell_.step(glimpse(x, places.back()), state);
      if (t + 1 == glimpses) break;
      const Tensor h = stop(state.h);
      means.push_back(tanh(aim_(h)));
      baselines.push_back(select(baseline_(h), 1, 0));
      places.push_back(stop(clamp(means.back() + spread * select(chance, 0, t), -1, 1)));
    }
    return {head_(state.h), stack(places), stack(means), stack(baselines)};
  }

 private:
  Tensor glimpse(Tensor x, Tensor place) const {
    std::vector<Tensor> seen;
    for (const Index pixels : {Index{1}, coarse}) {
      const Tensor rows = lens(select(place, 1, 0), static_cast<double>(pixels));
      const Tensor cols = lens(select(place, 1, 1), static_cast<double>(pixels));
      const Tensor part = matmul(matmul(rows, x), cols, {.transpose_b = true});
      seen.push_back(reshape(part, {x.size(0), window * window}));
    }
    return relu(see_(concat(seen, -1)) + where_(place));
  }

  Linear &see_, &where_;
  LstmCell& cell_;
  Linear &aim_, &baseline_, &head_;
};

/// Sees the whole picture.
class Whole : public Module {
 public:
  Whole(Index hidden, Rng& rng)
      : Module("whole"),
        first_(child("first", Linear(size * size, hidden, rng))),
        second_(child("second", Linear(hidden, hidden, rng))),
        head_(child("head", Linear(hidden, 10, rng))) {}
  Tensor operator()(Tensor x) const { return head_(relu(second_(relu(first_(reshape(x, {x.size(0), size * size})))))); }

 private:
  Linear &first_, &second_, &head_;
};

/// To be right, and to have looked where it helped: (places - means)^2 / (2 spread^2) is -log p of a place but for a
/// constant, and is weighted by how much better it went than was expected.
Tensor loss_of(const Seen& seen, Tensor y) {
  const Tensor right = stop(sum(hardmax(seen.logits) * one_hot(y, 10), {1}));
  const Tensor moved = slice(seen.places - seen.means, 0, 1, glimpses - 1);
  const Tensor surprise = sum(square(moved), {2}) / (2 * spread * spread);
  const Tensor better = right - seen.baselines;
  return cross_entropy(seen.logits, y) + mean(stop(better) * surprise) + mean(square(better));
}

/// Updates of a network: `f` takes the arrays of a batch and gives the loss.
template <class Net, class F>
void train(Task& task, const std::string& name, const Net& net, Index clutter, F f) {
  Rng data = Rng(task.seed()).split(1);
  const auto parameters = net.parameters();
  Adam adam(parameters, {});
  const Batch example = draw(data, clutter);
  auto update = make_step(
      task,
      [&](Tape&, Tensor x, Tensor chance, Tensor y) {
        const Tensor loss = f(x, chance, y);
        backward(loss);
        return loss;
      },
      example.x, example.chance, example.y);
  const Index updates = task.count("steps");
  const Schedule rate = falling(2e-3, updates, 0.7);
  for (Index i = 1; i <= updates; ++i) {
    const Batch b = draw(data, clutter);
    const double loss = update(b.x, b.chance, b.y).item();
    clip_grad_norm(parameters, 1);
    adam.set_rate(rate(i - 1));
    adam.step();
    task.progress(name, i, updates, "loss ", loss);
  }
}

/// The first eight pictures and the six windows on each, from `top` on; what it got wrong is said in red.
void draw_glimpses(Drawing& drawing, Index top, Batch& b, const Array& places, const Array& logits) {
  static const char* const colours[] = {"red", "darkorange", "goldenrod", "green", "blue", "purple"};
  for (Index n = 0; n < 8; ++n) {
    const Index x = n % 4 * cell + margin, y = top + n / 4 * cell + margin;
    drawing.grid(x, y, dot, picture(b, n), size);
    drawing.frame(x, y, size * dot, size * dot, "lightgrey");
    for (Index t = 0; t < glimpses; ++t) {
      const auto corner = [&](Index axis) {
        return static_cast<Index>((0.5 * (places.at({t, n, axis}) + 1) * (size - 1) + 0.5 - window / 2.0) * dot);
      };
      drawing.frame(x + corner(1), y + corner(0), window * dot, window * dot, colours[t]);
      drawing.text(x + corner(1) + dot * (t + 1), y + corner(0) + 11, std::to_string(t + 1), colours[t]);
    }
    Index said = 0;
    for (Index d = 1; d < 10; ++d)
      if (logits.at({n, d}) > logits.at({n, said})) said = d;
    const bool right = static_cast<double>(said) == b.y.at({n});
    drawing.text(x + size * dot / 2, y + size * dot + margin - 4, "it says " + std::to_string(said),
                 right ? "black" : "red");
  }
}

struct Result {
  double looking, whole;  // parts of fresh pictures that are right
  Index looking_parameters, whole_parameters;
};

/// Trains both, draws what the one looked at, and tries both.
Result learn(Task& task, Index clutter, Drawing& drawing, Index top) {
  Rng rng(task.seed()), fresh = rng.split(2);
  const Looker looker(rng);
  Index hidden = 1;  // of a network of as many parameters
  while (hidden * (size * size + hidden + 12) + 10 < looker.parameter_count()) ++hidden;
  const Whole whole(hidden, rng);
  train(task, "glimpses", looker, clutter,
        [&](Tensor x, Tensor chance, Tensor y) { return loss_of(looker(x, chance), y); });
  train(task, "whole picture", whole, clutter, [&](Tensor x, Tensor, Tensor y) { return cross_entropy(whole(x), y); });
  Score looking_score, whole_score;
  for (Index i = 0; i < (task.quick() ? 4 : 32); ++i) {
    Batch b = draw(fresh, clutter);
    Tape tape;
    const NoGrad off(tape);
    const Tensor x = tape.constant(b.x);
    const Seen seen = looker(x, tape.constant(0, {glimpses, batch, 2}));
    looking_score.add(seen.logits.value(), b.y);
    whole_score.add(whole(x).value(), b.y);
    if (i == 0) draw_glimpses(drawing, top, b, seen.places.array(), seen.logits.array());
  }
  return {looking_score.accuracy(), whole_score.accuracy(), looker.parameter_count(), whole.parameter_count()};
}

int look(Task& task) {
  const Index pieces = task.count("clutter", 0, 100);
  Drawing drawing(4 * cell, (pieces > 0 ? 4 : 2) * cell);
  const Result plain = learn(task, 0, drawing, 0);
  std::ostringstream found;
  found << "six glimpses (" << plain.looking_parameters << " parameters) " << 100 * plain.looking
        << "%, the whole picture (" << plain.whole_parameters << ") " << 100 * plain.whole << '%';
  std::cout << found.str() << std::endl;
  if (pieces > 0) {
    const Result cluttered = learn(task, pieces, drawing, 2 * cell);
    found << "; among " << pieces << " pieces of others " << 100 * cluttered.looking << "% and "
          << 100 * cluttered.whole << '%';
  }
  if (const std::string& file = task.text("picture"); !file.empty()) drawing.save(file);
  return task.result(plain.looking >= (task.quick() ? 0.25 : 0.9), "fresh digits right: ", found.str());
}

}  // namespace

int main(int argc, char** argv) {
  return run_task(argc, argv, {{"steps", "6000", "120"}, {"clutter", "4", "0"}, {"picture", "glimpses.svg", ""}}, look);
}
