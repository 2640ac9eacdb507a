// Speech to text (as Graves and Jaitly, 2014): one to three spoken digits and letters, from the sound wave to symbols.
// The voices are espeak-ng's, a program to be installed (espeak.h): of all kinds, in seven accents, at several paces
// and heights, with noise around them; log-mel features go into two layers of a bidirectional LSTM; connectionist
// temporal classification (Graves et al., 2006) learns from transcripts that do not say when what was said. Sequences
// are spoken anew for every update, and bent as other throats would (`vary`); the test has voices that were never
// heard, and `--part validation` others, by which settings are to be chosen.
// Two kinds of text are tested: any sequence, read by best path and by prefix beam search; and codes, in which each
// symbol is followed by one of three, which only a language model of counted pairs knows. At least 95% of any sequences
// must be exact (80% in --quick). The spectrogram of one is drawn with what was found under it: speech.svg.
//
// Without espeak-ng, in seconds: five digits by voices that a random number each makes (voice.h), as in --quick,
// speech --voices own --symbols 5 --longest 2 --noise 20 --hidden 32 --rate 1e-2 --steps 200
#include <algorithm>
#include <array>
#include <cmath>
#include <future>
#include <map>

#include <rewind/rewind.h>

#include "espeak.h"
#include "picture.h"
#include "step.h"
#include "task.h"
#include "voice.h"

using namespace rw;

namespace {

// A block is 10 ms, a frame three of them, and a step of the network five frames.
constexpr Index batch = 32, bands = 40, stride = 5;
constexpr Index voices = 200;  // that are trained on; the test has as many others

struct Setting {
  Index symbols, longest;  // symbols that there are, and of a sequence at most
  double noise;            // dB that the speech is above it, at least
  bool espeak;
  bool for_test;  // and not for validation
  Index rate() const { return espeak ? espeak_rate : samples_per_second; }
  Index block() const { return rate() / 100; }
};

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

  /// Features [T, N, stride * bands] and the steps of each, [N], to log probabilities of the blank and the symbols
  /// [T, N, C].
  Tensor operator()(Tensor features, Tensor steps) const { return log_softmax(net_(features, {.lengths = steps})); }

 private:
  Readout<Layers>& net_;
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

using Waves = std::vector<std::vector<float>>;

/// Texts in one voice, of those of this part.
Waves say(std::vector<Tokens> texts, const Setting& setting, Part part, Rng& rng) {
  for (Tokens& text : texts)
    for (std::int32_t& symbol : text) symbol -= 1;
  if (setting.espeak) return EspeakVoice(part, setting.for_test, rng).say(texts, rng);
  const Voice voice(Rng(static_cast<std::uint64_t>(rng.below(voices) + static_cast<Index>(part) * voices)));
  Waves waves;
  for (const Tokens& text : texts) waves.push_back(voice.say(text, rng));
  return waves;
}

/// The speech is `noise` to `noise` + 20 dB above what sounds around it.
void add_noise(std::vector<float>& wave, double noise, Rng& rng) {
  const double loud = std::pow(10, -(noise + rng.uniform(0, 20)) / 20);
  for (float& x : wave) x += static_cast<float>(loud * std::sqrt(3) * rng.uniform(-1, 1));
}

/// Log-mel features of each wave, about from -1 to 1, those of `stride` frames a step: [steps, stride * bands].
std::vector<Array> features(Waves waves, const Setting& setting) {
  std::vector<float> sound;  // one wave after the other
  for (std::vector<float>& wave : waves) {
    wave.resize(wave.size() / static_cast<std::size_t>(setting.block()) * static_cast<std::size_t>(setting.block()));
    sound.insert(sound.end(), wave.begin(), wave.end());
  }
  Tape tape;
  const Index rate = setting.rate(), blocks = static_cast<Index>(sound.size()) / setting.block();
  const Tensor blocked = tape.constant(Array(sound, {blocks, 1, setting.block()}));
  const Tensor mel = log_mel(
      blocked, {.rate = rate, .bands = bands, .low = 80, .high = 0.48 * static_cast<double>(rate), .floor = 1e-2});
  const Array all = (0.2 * mel - 1).array();
  std::vector<Array> cut;
  const float* from = all.span<float>().data();
  for (const std::vector<float>& wave : waves) {
    const Index length = static_cast<Index>(wave.size()) / setting.block(), steps = (length - 2) / stride;
    cut.emplace_back(std::span(from, static_cast<std::size_t>(steps * stride * bands)), Shape{steps, stride * bands});
    from += length * bands;
  }
  return cut;
}

using Bands = std::array<double, bands>;

/// In each frame of [..., bands], band b becomes what stood at `from[b]`, between two bands, and `gains[b]`.
void bend(Array& heard, const Bands& from, const Bands& gains) {
  const std::span<float> x = heard.span<float>();
  for (std::size_t frame = 0; frame < x.size(); frame += bands) {
    std::array<float, bands> before;
    std::copy_n(x.begin() + static_cast<std::ptrdiff_t>(frame), bands, before.begin());
    for (std::size_t b = 0; b < bands; ++b) {
      const double at = std::clamp(from[b], 0.0, bands - 1.001);
      const auto k = static_cast<std::size_t>(at);
      const double part = at - static_cast<double>(k);
      x[frame + b] = static_cast<float>((1 - part) * static_cast<double>(before[k]) +
                                        part * static_cast<double>(before[k + 1]) + gains[b]);
    }
  }
}

/// As it would be of somebody whose resonances lie a little higher or lower, and are louder or less so (after vocal
/// tract length perturbation; Jaitly and Hinton, 2013): the bands of [steps, stride * bands] move and gain by amounts
/// that lie on lines between six random ones.
void vary(Array& heard, Rng& rng) {
  constexpr std::size_t knots = 6;
  std::array<double, knots> moves, gains;
  for (std::size_t k = 0; k < knots; ++k) moves[k] = rng.normal(), gains[k] = 0.15 * rng.normal();
  Bands from, gain;
  for (std::size_t b = 0; b < bands; ++b) {
    const double at = static_cast<double>(b * (knots - 1)) / bands;
    const auto k = static_cast<std::size_t>(at);
    const double part = at - static_cast<double>(k);
    from[b] = static_cast<double>(b) + (1 - part) * moves[k] + part * moves[k + 1];
    gain[b] = (1 - part) * gains[k] + part * gains[k + 1];
  }
  bend(heard, from, gain);
}

/// One text, as the network has it.
struct Spoken {
  Tokens text;  // class c is word c - 1; 0 is the blank
  Array heard;  // [steps, stride * bands]
};

/// Texts, so many of them. Each voice says `each` of them.
std::vector<Spoken> draw(Rng& rng, const Setting& setting, Part part, bool code, Index count, Index each) {
  std::vector<Spoken> all;
  Waves waves;
  while (static_cast<Index>(all.size()) < count) {
    std::vector<Tokens> texts;
    for (Index i = 0; i < each; ++i) texts.push_back(draw_text(rng, setting, code));
    for (std::vector<float>& wave : say(texts, setting, part, rng)) waves.push_back(std::move(wave));
    for (Tokens& text : texts) all.push_back({std::move(text), Array()});
  }
  for (std::vector<float>& wave : waves) add_noise(wave, setting.noise, rng);
  std::vector<Array> heard = features(std::move(waves), setting);
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (part == Part::training && setting.espeak) vary(heard[i], rng);
    all[i].heard = std::move(heard[i]);
  }
  return all;
}

struct Batch {
  std::vector<Tokens> texts;
  PaddedBatch heard, symbols;  // [T, N, stride * bands]; [longest, N]
};

/// Batches of like lengths, so that little is padding.
std::vector<Batch> batches_of(std::vector<Spoken> all, const Setting& setting) {
  std::stable_sort(all.begin(), all.end(),
                   [](const Spoken& a, const Spoken& b) { return a.heard.shape()[0] < b.heard.shape()[0]; });
  std::vector<Batch> batches;
  for (std::size_t first = 0; first < all.size(); first += batch) {
    Batch b;
    std::vector<Array> heard, symbols;
    for (std::size_t i = first; i < first + batch; ++i) {
      heard.push_back(std::move(all[i].heard));
      symbols.emplace_back(all[i].text);
      b.texts.push_back(std::move(all[i].text));
    }
    b.heard = pad_sequences(heard, (heard.back().shape()[0] + 7) / 8 * 8);  // few plans for many lengths
    b.symbols = pad_sequences(symbols, setting.longest);
    batches.push_back(std::move(b));
  }
  return batches;
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

/// What was said beside what was found, 0 for nothing, with as few differences as can be (Levenshtein, 1966).
std::vector<std::pair<std::int32_t, std::int32_t>> aligned(const Tokens& said, const Tokens& found) {
  const std::size_t width = found.size() + 1;
  std::vector<Index> cost((said.size() + 1) * width);
  const auto step = [&](std::size_t i, std::size_t j) {  // the cheapest last step: 0 a pair, 1 said only, 2 found only
    const Index none = 1 << 30;
    const std::array<Index, 3> ways{i && j ? cost[(i - 1) * width + j - 1] + (said[i - 1] != found[j - 1]) : none,
                                    i ? cost[(i - 1) * width + j] + 1 : none, j ? cost[i * width + j - 1] + 1 : none};
    const auto best = std::min_element(ways.begin(), ways.end());
    return std::pair(best - ways.begin(), *best);
  };
  for (std::size_t at = 1; at < cost.size(); ++at) cost[at] = step(at / width, at % width).second;
  std::vector<std::pair<std::int32_t, std::int32_t>> pairs;
  for (std::size_t i = said.size(), j = found.size(); i + j > 0;) {
    const auto way = step(i, j).first;
    pairs.emplace_back(way == 2 ? 0 : said[i - 1], way == 1 ? 0 : found[j - 1]);
    i -= way != 2, j -= way != 1;
  }
  return pairs;
}

struct Found {
  Index sequences = 0, exact = 0, symbols = 0, wrong = 0;
  std::map<std::pair<char, char>, Index> confused;
  void add(const Tokens& text, const Tokens& found) {
    sequences += 1, exact += text == found ? 1 : 0;
    symbols += static_cast<Index>(text.size());
    const auto name = [](std::int32_t c) { return c == 0 ? '-' : words[c - 1].name; };
    for (const auto& [a, b] : aligned(text, found))
      if (a != b) wrong += 1, confused[{name(a), name(b)}] += 1;
  }
  double share() const { return 100 * static_cast<double>(exact) / static_cast<double>(sequences); }
  double errors() const { return 100 * static_cast<double>(wrong) / static_cast<double>(symbols); }
  /// "B for D 4, ...", the most frequent first.
  std::string confusions() const {
    std::vector<std::pair<Index, std::pair<char, char>>> all;
    for (const auto& [pair, times] : confused) all.emplace_back(-times, pair);
    std::sort(all.begin(), all.end());
    std::string text;
    for (const auto& [times, pair] : all)
      text += std::string(text.empty() ? "" : ", ") + pair.second + " for " + pair.first + ' ' + std::to_string(-times);
    return text;
  }
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
  const Index steps = b.heard.lengths.span<std::int32_t>()[static_cast<std::size_t>(n)], dot = 4;
  const Array one = one_sequence(log_probs, n, steps), mel = one_sequence(b.heard.values, n, steps);
  std::vector<float> grey;
  for (Index band = bands; band-- > 0;)
    for (Index t = 0; t < steps * stride; ++t)
      grey.push_back(static_cast<float>(0.5 * (1 + mel.at({t / stride, t % stride * bands + band}))));
  Drawing picture(steps * stride * dot + 20, bands * dot + 50);
  picture.grid(10, 10, dot, grey, steps * stride);
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
  const auto speak = [&] { return batches_of(draw(data, setting, Part::training, false, 4 * batch, 16), setting); };
  std::vector<Batch> batches = speak();
  auto update = make_step(
      task,
      [&](Tape&, Tensor heard, Tensor steps, Tensor targets, Tensor lengths) {
        const Tensor loss = ctc_loss(net(heard, steps), targets, {.input_lengths = steps, .target_lengths = lengths});
        backward(loss);
        return loss;
      },
      batches[0].heard.values, batches[0].heard.lengths, batches[0].symbols.values, batches[0].symbols.lengths);
  const Index updates = task.count("steps", 1), first = updates / 20;
  const Schedule rate = warm_up(CosineDecay{.rate = task.number("rate"), .steps = updates - first}, first);
  std::future<std::vector<Batch>> next =
      std::async(std::launch::async, speak);  // while a thread trains, another speaks
  double mean = 0;
  for (Index i = 0; i < updates; ++i) {
    if (batches.empty()) batches = next.get(), next = std::async(std::launch::async, speak);
    const Batch b = std::move(batches.back());
    batches.pop_back();
    const double loss = update(b.heard.values, b.heard.lengths, b.symbols.values, b.symbols.lengths).item();
    clip_grad_norm(parameters, 1);
    adam.set_rate(rate(i));
    adam.step();
    mean += (loss - mean) / static_cast<double>(std::min<Index>(i + 1, 20));
    task.progress("speech", i + 1, updates, mean, " nats a sequence");
  }
}

/// Log probabilities [T, N, C]: of the mean over the sounds as they are, and as of throats that are longer or shorter.
Array read(const Recogniser& net, const Batch& b) {
  Tape tape;
  const NoGrad off(tape);
  const Tensor steps = tape.constant(b.heard.lengths);
  std::vector<Tensor> all;
  for (const double move : {-1.0, -0.5, 0.0, 0.5, 1.0}) {
    Bands from;
    for (std::size_t k = 0; k < bands; ++k) from[k] = static_cast<double>(k) + move;
    Array heard = b.heard.values;
    bend(heard, from, {});
    all.push_back(exp(net(tape.constant(heard), steps)));
  }
  return log(mean(stack(all), 0) + 1e-30).array();
}

struct Results {
  Found best_path, beam, code, code_with_pairs;
};

/// Reads `count` of any texts, and as many codes, and draws one.
Results test(const Task& task, const Recogniser& net, const Setting& setting, Rng fresh, const Pairs& pairs) {
  Results results;
  const CtcBeamOptions sound_alone{}, with_pairs{.language_model = pairs};
  const Part part = setting.for_test ? Part::test : Part::validation;
  std::string picture = task.text("picture");
  for (const bool code : {false, true})
    for (const Batch& b : batches_of(draw(fresh, setting, part, code, task.count("batches", 1) * batch, 1), setting)) {
      const Array log_probs = read(net, b);
      const std::vector<Tokens> paths = ctc_best_path(log_probs, b.heard.lengths);
      for (std::size_t n = 0; n < b.texts.size(); ++n) {
        const Array one = one_sequence(log_probs, static_cast<Index>(n), b.heard.lengths.span<std::int32_t>()[n]);
        (code ? results.code : results.beam).add(b.texts[n], ctc_beam(one, sound_alone)[0].tokens);
        if (code) results.code_with_pairs.add(b.texts[n], ctc_beam(one, with_pairs)[0].tokens);
        if (!code) results.best_path.add(b.texts[n], paths[n]);
        if (b.texts[n].size() == static_cast<std::size_t>(setting.longest) && !picture.empty())
          draw_alignment(std::exchange(picture, ""), b, log_probs, static_cast<Index>(n));
      }
    }
  return results;
}

Setting setting_of(const Task& task) {
  const std::string &voices = task.text("voices"), &part = task.text("part");
  const Setting setting{task.count("symbols", 3, std::size(words)), task.count("longest", 1, 20), task.number("noise"),
                        voices == "espeak-ng", part == "test"};
  if (!(setting.noise >= -20 && setting.noise <= 100))
    throw Error("--noise takes dB from -20 to 100, not '" + task.text("noise") + "'");
  if (voices != "own" && voices != "espeak-ng") throw Error("--voices takes own or espeak-ng, not '" + voices + "'");
  if (part != "validation" && part != "test") throw Error("--part takes validation or test, not '" + part + "'");
  return setting;
}

int speech(Task& task) {
  const Setting setting = setting_of(task);
  Rng rng(task.seed());
  const Rng fresh = rng.split(2);
  const Recogniser net(setting.symbols, task.count("hidden", 1), rng);
  train(task, net, setting, rng.split(1));
  const auto [best_path, beam, code, code_with_pairs] = test(task, net, setting, fresh, Pairs(setting, rng.split(3)));
  std::cout << "what was found for what was said, - for nothing: " << beam.confusions() << '\n';
  return task.result(beam.share() >= (task.quick() ? 80 : 95), "sequences of voices never heard exact: best path ",
                     best_path.share(), "%, beam ", beam.share(), "% (", beam.errors(),
                     "% of the symbols wrong); codes: ", code.share(), "%, with a language model ",
                     code_with_pairs.share(), "% of ", beam.sequences, " each");
}

}  // namespace

int main(int argc, char** argv) {
  return run_task(argc, argv,
                  {{"steps", "2600", "150"},
                   {"symbols", "36", "5"},
                   {"longest", "3", "2"},
                   {"hidden", "128", "32"},
                   {"rate", "3e-3", "1e-2"},
                   {"noise", "15", "20"},
                   {"batches", "16", "4"},
                   {"part", "test", "test"},
                   {"voices", "espeak-ng", "own"},
                   {"picture", "speech.svg", ""}},
                  speech);
}
