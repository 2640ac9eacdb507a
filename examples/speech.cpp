// Speech to text (as Graves and Jaitly, 2014): one or two spoken digits, of five, from the sound wave to symbols.
// Voices of all heights, paces and accents speak (voice.h), with noise around them; log-mel features go into two layers
// of a bidirectional LSTM; connectionist temporal classification (Graves et al., 2006) learns from transcripts that do
// not say when what was said. Sequences are spoken anew for every update; the test has voices that were never heard.
// Two kinds of text are tested: any sequence, read by best path and by prefix beam search; and codes, in which each
// symbol is followed by one of three, which only a language model of counted pairs knows. At least 95% of any sequences
// must be exact (80% in --quick). The spectrogram of one is drawn with what was found under it: speech.svg.
//
// The voices of espeak-ng (espeak.h), a program to be installed: speech --voices espeak-ng --time 60 --steps 600
// All digits and letters, and more of them, which takes far longer:
// speech --symbols 36 --longest 5 --time 90 --hidden 96 --noise 10 --steps 2000
#include <algorithm>
#include <cmath>

#include <rewind/rewind.h>

#include "espeak.h"
#include "picture.h"
#include "step.h"
#include "task.h"
#include "voice.h"

using namespace rw;

namespace {

// A block is 10 ms, a frame three of them, and a step of the network three frames.
constexpr Index batch = 32, block = samples_per_second / 100, bands = 32, stride = 3;
constexpr Index voices = 200;  // that are trained on; the test has as many others

struct Setting {
  Index symbols, steps, longest;  // steps of the network, and symbols of a sequence at most
  double noise;                   // dB that the speech is above it, at least
  bool espeak;
  Index blocks() const { return steps * stride + 2; }
};

/// Sound [blocks, N, block] to log-mel features [blocks - 2, N, bands], about from -1 to 1.
Tensor features(Tensor sound) {
  return 0.2 * log_mel(sound, {.rate = samples_per_second, .bands = bands, .low = 80, .high = 3900, .floor = 1e-2}) - 1;
}

class Recogniser : public Module {
 public:
  using Layers = Stack<Bidirectional<LstmCell>>;
  Recogniser(Index symbols, Index hidden, Rng& rng)
      : Module("recogniser"),
        net_(child(
            "net",
            Readout{Layers({Bidirectional{LstmCell(stride * bands, hidden, rng), LstmCell(stride * bands, hidden, rng)},
                            Bidirectional{LstmCell(2 * hidden, hidden, rng), LstmCell(2 * hidden, hidden, rng)}}),
                    Linear(2 * hidden, symbols + 1, rng)})) {}

  /// Sound [blocks, N, block] and the steps of each, [N], to log probabilities of the blank and the symbols [T, N, C].
  Tensor operator()(Tensor sound, Tensor steps) const {
    const Tensor mel = features(sound);
    const Index T = mel.size(0) / stride, N = mel.size(1);
    const Tensor x = reshape(permute(reshape(mel, {T, stride, N, bands}), {0, 2, 1, 3}), {T, N, stride * bands});
    return log_softmax(net_(x, {.lengths = steps}));
  }

 private:
  Readout<Layers>& net_;
};

struct Batch {
  std::vector<Tokens> texts;  // class c is word c - 1; 0 is the blank
  Array sound, steps;         // [blocks, N, block]; [N]
  Array targets, lengths;     // [longest, N]; [N]
};

/// In a code one of three symbols follows each.
Tokens draw_text(Rng& rng, const Setting& setting, bool code) {
  Tokens text;
  for (Index left = 1 + rng.below(setting.longest); left > 0; --left) {
    const bool any = !code || text.empty();
    text.push_back(static_cast<std::int32_t>(
        1 + (any ? rng.below(setting.symbols) : (7 * (text.back() - 1) + 1 + rng.below(3)) % setting.symbols)));
  }
  return text;
}

/// A text in some voice, of those that are trained on or of others.
std::vector<float> say(const Tokens& text, const Setting& setting, bool test, Rng& rng) {
  std::vector<std::int32_t> numbers;
  for (const std::int32_t c : text) numbers.push_back(c - 1);
  if (setting.espeak) return EspeakVoice(test, rng).say(numbers);
  return Voice(Rng(static_cast<std::uint64_t>(rng.below(voices) + (test ? voices : 0)))).say(numbers, rng);
}

/// The speech is `noise` to `noise` + 20 dB above what sounds around it.
Array record(std::vector<float> sound, double noise, Rng& rng) {
  const double loud = std::pow(10, -(noise + rng.uniform(0, 20)) / 20);
  for (float& x : sound) x += static_cast<float>(loud * std::sqrt(3) * rng.uniform(-1, 1));
  const Index blocks = static_cast<Index>(sound.size()) / block;
  sound.resize(static_cast<std::size_t>(blocks * block));
  return Array(sound, {blocks, block});
}

Batch draw(Rng& rng, const Setting& setting, bool test, bool code) {
  Batch b;
  std::vector<Array> sounds, targets;
  std::vector<std::int32_t> steps;
  while (sounds.size() < batch) {
    const Tokens text = draw_text(rng, setting, code);
    Array sound = record(say(text, setting, test, rng), setting.noise, rng);
    if (sound.shape()[0] > setting.blocks()) continue;
    steps.push_back(static_cast<std::int32_t>((sound.shape()[0] - 2) / stride));
    sounds.push_back(std::move(sound));
    targets.emplace_back(text);
    b.texts.push_back(text);
  }
  b.sound = pad_sequences(sounds, setting.blocks()).values, b.steps = Array(steps);
  PaddedBatch padded = pad_sequences(targets, setting.longest);
  b.targets = std::move(padded.values), b.lengths = std::move(padded.lengths);
  return b;
}

/// log p(next | prefix) in nats, by pairs counted in codes.
class Pairs {
 public:
  Pairs(const Setting& setting, Rng rng) : n_(setting.symbols + 1), counts_(static_cast<std::size_t>(n_ * n_), 0.1) {
    for (int i = 0; i < 5000; ++i) {
      std::int32_t before = 0;
      for (const std::int32_t c : draw_text(rng, setting, true)) count(std::exchange(before, c), c) += 1;
    }
  }
  double operator()(std::span<const std::int32_t> prefix, std::int32_t next) const {
    const std::int32_t before = prefix.empty() ? 0 : prefix.back();
    double all = 0;
    for (Index c = 1; c < n_; ++c) all += counts_[static_cast<std::size_t>(before * n_ + c)];
    return std::log(counts_[static_cast<std::size_t>(before * n_ + next)] / all);
  }

 private:
  double& count(Index before, Index c) { return counts_[static_cast<std::size_t>(before * n_ + c)]; }
  Index n_;
  std::vector<double> counts_;
};

/// Symbols to insert, delete or change (Levenshtein, 1966).
Index edit_distance(const Tokens& a, const Tokens& b) {
  std::vector<Index> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = static_cast<Index>(j);
  for (std::size_t i = 1; i <= a.size(); ++i) {
    Index diagonal = std::exchange(row[0], static_cast<Index>(i));
    for (std::size_t j = 1; j <= b.size(); ++j)
      diagonal =
          std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)}));
  }
  return row.back();
}

struct Found {
  Index sequences = 0, exact = 0, symbols = 0, wrong = 0;
  void add(const Tokens& text, const Tokens& found) {
    sequences += 1, exact += text == found ? 1 : 0;
    symbols += static_cast<Index>(text.size()), wrong += edit_distance(text, found);
  }
  double share() const { return 100 * static_cast<double>(exact) / static_cast<double>(sequences); }
  double errors() const { return 100 * static_cast<double>(wrong) / static_cast<double>(symbols); }
};

/// log_probs [T, N, C] of one sequence, up to its end, [T, C].
Array one_sequence(const Array& log_probs, Index n, Index steps) {
  const Index N = log_probs.shape()[1], C = log_probs.shape()[2];
  Array one = zeros(steps, C);
  for (Index t = 0; t < steps; ++t)
    std::copy_n(log_probs.span<float>().begin() + (t * N + n) * C, C, one.span<float>().begin() + t * C);
  return one;
}

/// The spectrogram, and under each step the symbol that is likeliest there.
void draw_alignment(const std::string& file, const Batch& b, const Array& log_probs, Index n) {
  const Index steps = b.steps.span<std::int32_t>()[static_cast<std::size_t>(n)], frames = steps * stride, dot = 4;
  Tape tape;
  const Array mel = features(tape.constant(b.sound)).array(), one = one_sequence(log_probs, n, steps);
  std::vector<float> grey;
  for (Index band = bands; band-- > 0;)
    for (Index t = 0; t < frames; ++t) grey.push_back(static_cast<float>(0.5 * (1 + mel.at({t, n, band}))));
  Drawing picture(frames * dot + 20, bands * dot + 50);
  picture.grid(10, 10, dot, grey, frames);
  for (Index t = 0; t < steps; ++t) {
    const auto row = one.span<float>().subspan(static_cast<std::size_t>(t * one.shape()[1]),
                                               static_cast<std::size_t>(one.shape()[1]));
    const auto best = std::max_element(row.begin(), row.end()) - row.begin();
    picture.text(10 + (2 * t + 1) * stride * dot / 2, bands * dot + 30,
                 best == 0 ? "." : std::string(1, words[best - 1].name));
  }
  picture.save(file);
}

void train(Task& task, const Recogniser& net, const Setting& setting, Rng data) {
  const auto parameters = net.parameters();
  Adam adam(parameters, {});
  const Batch example = draw(data, setting, false, false);
  auto update = make_step(
      task,
      [&](Tape&, Tensor sound, Tensor steps, Tensor targets, Tensor lengths) {
        const Tensor loss = ctc_loss(net(sound, steps), targets, {.input_lengths = steps, .target_lengths = lengths});
        backward(loss);
        return loss;
      },
      example.sound, example.steps, example.targets, example.lengths);
  const Index updates = task.count("steps");
  const Schedule rate = falling(3e-3, updates, 0.5);
  for (Index i = 1; i <= updates; ++i) {
    const Batch b = draw(data, setting, false, false);
    const double loss = update(b.sound, b.steps, b.targets, b.lengths).item();
    clip_grad_norm(parameters, 1);
    adam.set_rate(rate(i - 1));
    adam.step();
    task.progress("speech", i, updates, loss, " nats a sequence");
  }
}

int speech(Task& task) {
  const std::string& voices = task.text("voices");
  const Setting setting{task.count("symbols", 3, std::size(words)), task.count("time", 20, 1000),
                        task.count("longest", 1, 20), task.number("noise"), voices == "espeak-ng"};
  if (!(setting.noise >= -20 && setting.noise <= 100))
    throw Error("--noise takes dB from -20 to 100, not '" + task.text("noise") + "'");
  if (voices != "own" && voices != "espeak-ng") throw Error("--voices takes own or espeak-ng, not '" + voices + "'");
  Rng rng(task.seed());
  Rng fresh = rng.split(2);
  const Recogniser net(setting.symbols, task.count("hidden", 1), rng);
  train(task, net, setting, rng.split(1));

  Found best_path, beam, code, code_with_pairs;
  const CtcBeamOptions sound_alone{}, with_pairs{.language_model = Pairs(setting, rng.split(3))};
  for (Index i = 0; i < 8; ++i) {
    const bool codes = i % 2 == 1;
    const Batch b = draw(fresh, setting, true, codes);
    Tape tape;
    const NoGrad off(tape);
    const Array log_probs = net(tape.constant(b.sound), tape.constant(b.steps)).array();
    const std::vector<Tokens> paths = ctc_best_path(log_probs, b.steps);
    for (Index n = 0; n < batch; ++n) {
      const auto at = static_cast<std::size_t>(n);
      const Array one = one_sequence(log_probs, n, b.steps.span<std::int32_t>()[at]);
      (codes ? code : beam).add(b.texts[at], ctc_beam(one, sound_alone)[0].tokens);
      if (codes) code_with_pairs.add(b.texts[at], ctc_beam(one, with_pairs)[0].tokens);
      if (!codes) best_path.add(b.texts[at], paths[at]);
    }
    if (i == 0 && !task.text("picture").empty()) draw_alignment(task.text("picture"), b, log_probs, 0);
  }
  return task.result(beam.share() >= (task.quick() ? 80 : 95), "sequences of voices never heard exact: best path ",
                     best_path.share(), "%, beam ", beam.share(), "% (", beam.errors(),
                     "% of the symbols wrong); codes: ", code.share(), "%, with a language model ",
                     code_with_pairs.share(), "% of ", beam.sequences, " each");
}

}  // namespace

int main(int argc, char** argv) {
  return run_task(argc, argv,
                  {{"steps", "200", "150"},
                   {"symbols", "5", "5"},
                   {"longest", "2", "2"},
                   {"time", "40", "40"},
                   {"hidden", "32", "32"},
                   {"noise", "20", "20"},
                   {"voices", "own", "own"},
                   {"picture", "speech.svg", ""}},
                  speech);
}
