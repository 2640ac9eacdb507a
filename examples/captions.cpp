// One-to-many: a picture to a sentence, with attention (as Xu et al., 2015). One or two things are drawn on a canvas,
// somewhere, by the program itself: squares, discs, crosses and triangles, small or large; the caption says what they
// are and how they stand to each other: "a small disc left of a large cross". Convolutions look, an LSTM reads <start>
// and the words so far, attends to a place of the picture, and writes the next word, up to <end>; beam search chooses.
// Only an exact caption of a picture that was never shown counts: at least 97%. A fifth of all pairs of things is never
// shown at all: what they are called then has to be put together. Pictures are written with what was said of them under
// each: captions.svg.
//
// Longer: captions --steps 6000
#include <algorithm>
#include <cstdlib>
#include <sstream>

#include <rewind/rewind.h>

#include "picture.h"
#include "step.h"
#include "task.h"
#include "words.h"

using namespace rw;

namespace {

constexpr Index batch = 64, size = 28, longest = 9;  // a small disc left of a large cross <end>
constexpr Index width = 64, features = 32, word_width = 16, places = 49;
const Sentence shapes{"square", "disc", "cross", "triangle"}, sizes{"small", "large"};
const Sentence vocabulary{"<start>", "<end>", "a",        "small", "large", "square",
                          "disc",    "cross", "triangle", "left",  "of",    "above"};
constexpr std::int32_t start = 0, end = 1;

std::int32_t number_of(const std::string& word) {
  return static_cast<std::int32_t>(std::find(vocabulary.begin(), vocabulary.end(), word) - vocabulary.begin());
}

struct Thing {
  Index shape = 0, large = 0, row = 0, col = 0;  // of its middle
  Index radius() const { return large == 1 ? 5 : 3; }
  std::string words() const {
    return "a " + sizes[static_cast<std::size_t>(large)] + " " + shapes[static_cast<std::size_t>(shape)];
  }
  bool has_ink(Index r, Index c) const {  // from its middle
    const Index R = radius(), a = std::abs(r), b = std::abs(c);
    if (a > R || b > R) return false;
    if (shape == 0) return true;
    if (shape == 1) return r * r + c * c <= R * R;
    if (shape == 2) return std::min(a, b) <= R / 3;
    return 2 * b <= r + R;
  }
};

struct Picture {
  std::vector<float> pixels = std::vector<float>(static_cast<std::size_t>(size * size));
  std::string caption;

  void draw(const Thing& thing, float ink) {
    for (Index r = 0; r < size; ++r)
      for (Index c = 0; c < size; ++c)
        if (thing.has_ink(r - thing.row, c - thing.col)) pixels[static_cast<std::size_t>(r * size + c)] = ink;
  }
};

Thing draw_thing(Rng& rng) {
  Thing t{rng.below(4), rng.below(2)};
  t.row = t.radius() + rng.below(size - 2 * t.radius());
  t.col = t.radius() + rng.below(size - 2 * t.radius());
  return t;
}

/// Of two things at most: one of the held-out pairs, or none of them. The thing that is further left, or else above,
/// comes first. Of one thing alone nothing is held out, but each picture is new.
Picture draw_picture(Rng& rng, Index things, bool others) {
  for (;;) {
    Picture p;
    for (float& pixel : p.pixels) pixel = static_cast<float>(0.05 * rng.normal());
    Thing a = draw_thing(rng), b = draw_thing(rng);
    const Index rows = std::abs(a.row - b.row), cols = std::abs(a.col - b.col), room = a.radius() + b.radius() + 1;
    const bool one = things == 1 || (!others && rng.below(4) == 0);
    if (!one && (std::max(rows, cols) <= room || std::abs(rows - cols) < 6)) continue;  // they overlap, or stand askew
    const bool across = cols > rows;
    if (across ? a.col > b.col : a.row > b.row) std::swap(a, b);
    p.caption = one ? a.words() : a.words() + (across ? " left of " : " above ") + b.words();
    if (!one && held_out(p.caption) != others) continue;
    p.draw(a, static_cast<float>(rng.uniform(0.5, 1)));
    if (!one) p.draw(b, static_cast<float>(rng.uniform(0.5, 1)));
    return p;
  }
}

struct Batch {
  std::vector<Picture> pictures;
  Array x, words, lengths;  // [N, 1, size, size]; [longest, N], with <end>; [N]
};

Batch draw(Rng& rng, Index things, bool others) {
  Batch b;
  std::vector<Array> captions;
  b.x = zeros({batch, 1, size, size});
  for (Index n = 0; n < batch; ++n) {
    b.pictures.push_back(draw_picture(rng, things, others));
    const Picture& p = b.pictures.back();
    std::copy(p.pixels.begin(), p.pixels.end(), b.x.span<float>().begin() + n * size * size);
    std::istringstream text(p.caption);
    std::vector<std::int32_t> numbers;
    for (std::string word; text >> word;) numbers.push_back(number_of(word));
    numbers.push_back(end);
    captions.emplace_back(numbers);
  }
  PaddedBatch padded = pad_sequences(captions, longest);
  b.words = std::move(padded.values), b.lengths = std::move(padded.lengths);
  return b;
}

class Captioner : public Module {
 public:
  using Decoder = AttentionCell<LstmCell, AdditiveAttention>;
  using State = Decoder::State;
  explicit Captioner(Rng& rng)
      : Module("captioner"),
        first_(child("first", Conv2d(1, 12, 3, rng, {.padding = 1}))),
        second_(child("second", Conv2d(12, features, 3, rng, {.padding = 1}))),
        third_(child("third", Conv2d(features, features, 3, rng, {.padding = 1}))),
        where_(child("where", Embedding(places, features, rng))),
        words_(child("words", Embedding(static_cast<Index>(vocabulary.size()), word_width, rng))),
        decoder_(child("decoder", make_decoder(rng))),
        head_(child("head", Linear(width + features, static_cast<Index>(vocabulary.size()), rng))) {}

  /// Pictures [N, 1, size, size]: what the LSTM begins with, and what it looks at, which is 7 x 7 places, each of which
  /// says where it is.
  State look(Tensor x) const {
    const Tensor fine = max_pool2d(relu(second_(max_pool2d(relu(first_(x)), 2))), 2);
    const Tensor seen = permute(reshape(relu(third_(fine)), {x.size(0), features, places}), {2, 0, 1});
    const Tensor all = seen + reshape(where_(x.tape().constant(arange(places))), {places, 1, features});
    return decoder_.start(decoder_.cell().zero_state(x.tape(), x.size(0)), decoder_.attention().remember(all));
  }
  State zero_state(Tape& tape, Index n) const { return look(tape.constant(0, {n, 1, size, size})); }
  /// Words [T, N] to the logits of those that follow, [T, N, V].
  Tensor logits(Tensor words, State& state) const {
    const std::vector<State> states = unroll(decoder_, words_(words), state);
    if (!states.empty()) state = states.back();
    return head_(outputs(decoder_, states));
  }

 private:
  static Decoder make_decoder(Rng& rng) {
    AdditiveAttention attention(width, features, 32, rng);
    return Decoder(LstmCell(word_width + features, width, rng), std::move(attention));
  }

  Conv2d &first_, &second_, &third_;
  Embedding &where_, &words_;
  Decoder& decoder_;
  Linear& head_;
};

/// The likeliest captions by beam search.
std::vector<std::string> write_captions(const Captioner& net, const Batch& b) {
  Tape tape;
  const NoGrad off(tape);
  TokenDecoder decoder(net, batch);
  decoder.set_state(save_state(net.look(tape.constant(b.x))));
  decoder.read(Tokens{start});
  std::vector<std::string> out;
  for (const std::vector<Hypothesis>& found : decoder.beam({.width = 3, .length = longest, .stop = end})) {
    std::string text;
    for (const std::int32_t word : found[0].tokens)
      if (word != end) text += (text.empty() ? "" : " ") + vocabulary[static_cast<std::size_t>(word)];
    out.push_back(text);
  }
  return out;
}

/// Twelve pictures with what was said of them; in red what is wrong.
void draw_captions(const std::string& file, const Batch& b, const std::vector<std::string>& captions) {
  constexpr Index columns = 4, across = 260, down = 150, dot = 4;
  Drawing drawing(columns * across, 3 * down);
  for (Index i = 0; i < 3 * columns; ++i) {
    const Picture& p = b.pictures[static_cast<std::size_t>(i)];
    const std::string& said = captions[static_cast<std::size_t>(i)];
    const Index middle = i % columns * across + across / 2, y = i / columns * down + 4;
    drawing.grid(middle - size * dot / 2, y, dot, p.pixels, size);
    drawing.text(middle, y + size * dot + 18, said, said == p.caption ? "black" : "red");
  }
  drawing.save(file);
}

/// The part of captions of fresh pictures that are exact; with `others`, of pairs that were held out.
double exact(const Task& task, const Captioner& net, Rng& rng, Index things, bool others) {
  const Index batches = task.quick() ? 2 : 16;
  double right = 0;
  for (Index i = 0; i < batches; ++i) {
    const Batch b = draw(rng, things, others);
    const std::vector<std::string> said = write_captions(net, b);
    if (i == 0 && !others && !task.text("picture").empty()) draw_captions(task.text("picture"), b, said);
    for (std::size_t n = 0; n < said.size(); ++n) right += said[n] == b.pictures[n].caption ? 1 : 0;
  }
  return right / static_cast<double>(batches * batch);
}

int captions(Task& task) {
  const Index things = task.count("things", 1, 2);
  Rng rng(task.seed());
  Rng data = rng.split(1), fresh = rng.split(2);
  const Captioner net(rng);
  const auto parameters = net.parameters();
  Adam adam(parameters, {.rate = 2e-3});
  const Batch example = draw(data, things, false);
  auto update = make_step(
      task,
      [&](Tape&, Tensor x, Tensor words, Tensor lengths) {
        Captioner::State state = net.look(x);
        const Tensor logits = net.logits(shifted(words, start), state);
        const Tensor loss = cross_entropy(logits, words, {.weights = sequence_mask(lengths, longest)});
        backward(loss);
        return loss;
      },
      example.x, example.words, example.lengths);
  const Index updates = task.count("steps");
  const Schedule rate = falling(3e-3, updates, 0.5);
  for (Index i = 1; i <= updates; ++i) {
    const Batch b = draw(data, things, false);
    const double loss = update(b.x, b.words, b.lengths).item();
    clip_grad_norm(parameters, 1);
    adam.set_rate(rate(i - 1));
    adam.step();
    task.progress("captions", i, updates, "loss of a word ", loss);
  }
  const double share = exact(task, net, fresh, things, false), others = exact(task, net, fresh, 2, true);
  return task.result(share >= (task.quick() ? 0.5 : 0.97), "captions of unseen pictures exact: ", 100 * share,
                     "%; of pictures of pairs that were never shown: ", 100 * others, "%");
}

}  // namespace

int main(int argc, char** argv) {
  return run_task(argc, argv, {{"steps", "2500", "100"}, {"things", "2", "1"}, {"picture", "captions.svg", ""}},
                  captions);
}
