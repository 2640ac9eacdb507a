// Many-to-many, synced: a part of speech for every word. Many words of the grammar have several, and which it is may
// only show later: "the light rain stopped", "the light stopped". A forward LSTM must guess then; a bidirectional one
// of fewer parameters has read the rest of the sentence. Sentences of unequal length are padded, and the loss and the
// accuracy look at words only. A fifth of all sentences is never trained on; the test is drawn from those.
//
// Longer: tagging --steps 6000 --hidden 128
#include <rewind/rewind.h>

#include "step.h"
#include "task.h"
#include "words.h"

using namespace rw;

namespace {

constexpr Index batch = 64, longest = 24;

enum Tag : std::int32_t { determiner, adjective, noun, verb, adverb, preposition, conjunction, to };
constexpr Index tags = 8;

struct Tagged {
  Sentence words;
  std::vector<std::int32_t> tags;
  void add(const std::string& word, Tag tag) {
    words.push_back(word);
    tags.push_back(tag);
  }
};

// Words of several parts: each list has what the part may be, and lists overlap.
const Sentence adjectives{"light", "cold", "back", "round", "old", "human", "fast"};
const Sentence nouns{"light", "cold", "back", "round", "human", "rain",
                     "watch", "walk", "play", "guard", "cook",  "ship"};
const Sentence verbs{"watch", "walk", "play", "guard", "cook", "ship", "light", "round", "back"};
const Sentence intransitive{"stopped", "fell", "left", "slept"};
const Sentence adverbs{"fast", "slowly", "today", "home"};

void noun_phrase(Rng& rng, Tagged& out) {
  out.add(one_of(Sentence{"the", "a", "every", "that"}, rng), determiner);
  for (Index i = rng.below(3); i > 0; --i) out.add(one_of(adjectives, rng), adjective);
  out.add(one_of(nouns, rng), noun);
  if (rng.below(5) == 0) {
    out.add(one_of(Sentence{"of", "near", "with"}, rng), preposition);
    out.add("the", determiner);
    out.add(one_of(nouns, rng), noun);
  }
}

void clause(Rng& rng, Tagged& out) {
  switch (rng.below(3)) {
    case 0:
      noun_phrase(rng, out);
      out.add(one_of(intransitive, rng), verb);
      break;
    case 1:  // the human guard watch the ship
      noun_phrase(rng, out);
      out.add(one_of(verbs, rng), verb);
      noun_phrase(rng, out);
      break;
    default:  // the cook left to light the round light
      noun_phrase(rng, out);
      out.add(one_of(intransitive, rng), verb);
      out.add("to", to);
      out.add(one_of(verbs, rng), verb);
      noun_phrase(rng, out);
  }
  if (rng.below(3) == 0) out.add(one_of(adverbs, rng), adverb);
}

Tagged draw_sentence(Rng& rng) {
  for (;;) {
    Tagged out;
    clause(rng, out);
    if (rng.below(3) == 0) {
      out.add(one_of(Sentence{"and", "but", "while"}, rng), conjunction);
      clause(rng, out);
    }
    if (out.words.size() <= longest) return out;
  }
}

struct Batch {
  std::vector<Tagged> sentences;
  Array words, tags, lengths;  // [longest, N], [longest, N], [N]
};

Batch draw(Rng& rng, Words& numbers, bool test) {
  Batch b;
  std::vector<Array> words, tags;
  while (b.sentences.size() < batch) {
    Tagged s = draw_sentence(rng);
    if (held_out(text_of(s.words)) != test) continue;
    std::vector<std::int32_t> row;
    for (const std::string& word : s.words) row.push_back(numbers[word]);
    words.emplace_back(row);
    tags.emplace_back(s.tags);
    b.sentences.push_back(std::move(s));
  }
  PaddedBatch padded = pad_sequences(words, longest);
  b.words = std::move(padded.values), b.lengths = std::move(padded.lengths);
  b.tags = pad_sequences(tags, longest).values;
  return b;
}

struct Score {
  Index words = 0, right = 0, sentences = 0, whole = 0;
  double share() const { return 100 * static_cast<double>(right) / static_cast<double>(words); }
  double whole_share() const { return 100 * static_cast<double>(whole) / static_cast<double>(sentences); }

  /// `chosen` is one-hot, [longest, N, tags].
  void add(const Batch& b, const Array& chosen) {
    for (std::size_t n = 0; n < b.sentences.size(); ++n) {
      const Tagged& s = b.sentences[n];
      Index good = 0;
      for (std::size_t t = 0; t < s.tags.size(); ++t)
        good += chosen.at({static_cast<Index>(t), static_cast<Index>(n), s.tags[t]}) == 1 ? 1 : 0;
      const auto length = static_cast<Index>(s.tags.size());
      words += length, right += good, sentences += 1, whole += good == length ? 1 : 0;
    }
  }
};

template <class Net>
Score learn(Task& task, const std::string& name, const Net& net, Words& numbers) {
  Rng rng(task.seed());
  Rng data = rng.split(1), fresh = rng.split(2);
  const auto parameters = net.parameters();
  const double rate = 5e-3;
  Adam adam(parameters, {.rate = rate});
  const Batch example = draw(data, numbers, false);
  auto update = make_step(
      task,
      [&](Tape&, Tensor words, Tensor lengths, Tensor right) {
        const Tensor mask = sequence_mask(lengths, longest);
        const Tensor loss = cross_entropy(net(words, {.lengths = lengths}), right, {.weights = mask});
        backward(loss);
        return loss;
      },
      example.words, example.lengths, example.tags);
  auto choose = make_step(
      task, [&](Tape&, Tensor words, Tensor lengths) { return hardmax(net(words, {.lengths = lengths})); },
      example.words, example.lengths);
  const Index updates = task.count("steps");
  for (Index i = 1; i <= updates; ++i) {
    const Batch b = draw(data, numbers, false);
    const double loss = update(b.words, b.lengths, b.tags).item();
    clip_grad_norm(parameters, 1);
    adam.set_rate(rate * (1 - static_cast<double>(i - 1) / static_cast<double>(updates)));
    adam.step();
    task.progress(name, i, updates, "loss of a word ", loss);
  }
  Score score;
  while (score.sentences < (task.quick() ? 640 : 4032)) {
    const Batch b = draw(fresh, numbers, true);
    score.add(b, choose(b.words, b.lengths).array());
  }
  return score;
}

int tagging(Task& task) {
  Words numbers;
  Rng all(0), rng(task.seed());
  for (Index i = 0; i < 5000; ++i)  // so that every word has its number before the net is made
    for (const std::string& word : draw_sentence(all).words) numbers[word];
  const Index hidden = task.count("hidden"), half = hidden / 2, words = numbers.size();
  const Readout forward{LstmCell(words, hidden, rng), Linear(hidden, tags, rng)};
  const Readout both{Bidirectional<LstmCell>{LstmCell(words, half, rng), LstmCell(words, half, rng)},
                     Linear(2 * half, tags, rng)};
  const Score one = learn(task, "forward", forward, numbers), two = learn(task, "bidirectional", both, numbers);
  const bool ok = task.quick() ? two.share() > one.share() : two.share() >= 99.5 && one.share() < 96;
  return task.result(ok, "words of unseen sentences tagged right: bidirectional ", two.share(), " % (whole sentences ",
                     two.whole_share(), " %), forward only ", one.share(), " % (", one.whole_share(), " %)");
}

}  // namespace

int main(int argc, char** argv) {
  return run_task(argc, argv, {{"steps", "1500", "150"}, {"hidden", "64", "32"}}, tagging);
}
