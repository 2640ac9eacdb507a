// Many-to-one: is a review good or bad? Reviews come from a grammar in which what a word says depends on the words
// around it: "not", "never", "hardly" and "nobody says that" turn a clause round (two of them turn it back), "but" and
// "although" say which of two clauses counts, and "than I feared" after a comparison praises. A GRU reads the words,
// batches of unequal length padded, and its last state of each sentence decides. A fifth of all sentences is never
// trained on; 4,000 of those, drawn anew, are the test. Beside it, a bag of words (the same words without their order).
//
// Longer: sentiment --steps 5000 --hidden 128
#include <rewind/rewind.h>

#include "step.h"
#include "task.h"
#include "words.h"

using namespace rw;

namespace {

constexpr Index batch = 64, longest = 30;

struct Review {
  Sentence words;
  bool good = false;
};

void append(Sentence& to, const Sentence& words) { to.insert(to.end(), words.begin(), words.end()); }

/// "the plot was not at all dull": the sentence's words and what it says.
Review clause(Rng& rng) {
  static const std::vector<Sentence> things{{"the", "film"},   {"the", "plot"}, {"the", "acting"}, {"its", "music"},
                                            {"the", "ending"}, {"the", "cast"}, {"every", "scene"}};
  static const Sentence good{"good", "great", "moving", "clever", "funny", "superb", "charming", "bright"},
      bad{"bad", "poor", "dull", "silly", "boring", "awful", "clumsy", "weak"};
  static const std::vector<Sentence> degrees{{}, {}, {"very"}, {"quite"}, {"really"}, {"so", "very"}};
  static const std::vector<Sentence> negations{
      {"not"}, {"never"}, {"hardly"}, {"not", "at", "all"}, {"by", "no", "means"}};
  static const std::vector<Sentence> doubts{
      {"nobody", "says", "that"}, {"it", "is", "not", "true", "that"}, {"I", "doubt", "that"}};
  static const std::vector<Sentence> beliefs{
      {"I", "think", "that"}, {"everybody", "says", "that"}, {"it", "is", "true", "that"}};
  Review r;
  const Index opening = rng.below(6);
  if (opening == 0) append(r.words, one_of(doubts, rng));
  if (opening == 1) append(r.words, one_of(beliefs, rng));
  append(r.words, one_of(things, rng));
  r.words.emplace_back("was");
  const bool negated = rng.below(2) == 0;
  if (negated) append(r.words, one_of(negations, rng));
  append(r.words, one_of(degrees, rng));
  r.good = rng.below(2) == 0;
  r.words.push_back(one_of(r.good ? good : bad, rng));
  r.good = r.good != (negated != (opening == 0));
  return r;
}

/// "the cast was better than I feared", in which neither the comparison nor what it is compared with says enough.
Review comparison(Rng& rng) {
  static const std::vector<Sentence> things{{"the", "film"}, {"the", "cast"}, {"the", "ending"}, {"its", "music"}};
  static const Sentence up{"better", "funnier", "brighter"}, down{"worse", "duller", "weaker"};
  Review r;
  r.good = rng.below(2) == 0;
  append(r.words, one_of(things, rng));
  r.words.emplace_back("was");
  const bool negated = rng.below(2) == 0;
  if (negated) r.words.emplace_back("not");
  r.words.push_back(one_of(r.good ? up : down, rng));
  append(r.words, rng.below(2) == 0 ? Sentence{"than", "I", "feared"} : Sentence{"than", "I", "hoped"});
  r.good = r.good != negated;
  return r;
}

Review draw_review(Rng& rng) {
  const auto part = [&] { return rng.below(4) == 0 ? comparison(rng) : clause(rng); };
  Review first = part();
  const Index joint = rng.below(4);
  if (joint == 0) return first;
  const Review second = part();
  Review all;
  if (joint == 1) all.words.emplace_back("although");
  append(all.words, first.words);
  all.words.emplace_back(joint == 1 ? "," : joint == 2 ? "but" : "although");
  append(all.words, second.words);
  all.good = joint == 3 ? first.good : second.good;  // the main clause counts
  return all;
}

struct Batch {
  std::vector<Review> reviews;
  Array words, lengths, good;  // [longest, N], [N], [N, 1]
};

Batch draw(Rng& rng, Words& numbers, bool test) {
  Batch b{.reviews = {}, .words = {}, .lengths = {}, .good = zeros(batch, 1)};
  std::vector<Array> all;
  while (b.reviews.size() < batch) {
    Review r = draw_review(rng);
    if (held_out(text_of(r.words)) != test) continue;
    std::vector<std::int32_t> words;
    for (const std::string& word : r.words) words.push_back(numbers[word]);
    all.emplace_back(words);
    b.good.span<float>()[b.reviews.size()] = r.good ? 1 : 0;
    b.reviews.push_back(std::move(r));
  }
  PaddedBatch padded = pad_sequences(all, longest);
  b.words = std::move(padded.values), b.lengths = std::move(padded.lengths);
  return b;
}

/// How often each word occurs, and a weight for each: it cannot see order.
class BagOfWords : public Module {
 public:
  BagOfWords(Index words, Rng& rng) : Module("bag"), head_(child("head", Linear(words, 1, rng))) {}
  Tensor operator()(Tensor words, const UnrollOptions& run) const {
    const Tensor counts = sum(one_hot(words, head_.in()) * sequence_mask(*run.lengths, words.size(0), 3), 0);
    return head_(counts);
  }

 private:
  Linear& head_;
};

template <class Net>
double learn(Task& task, const std::string& name, const Net& net, Words& numbers, Index updates, double rate) {
  Rng rng(task.seed());
  Rng data = rng.split(1), fresh = rng.split(2);
  const auto parameters = net.parameters();
  Adam adam(parameters, {.rate = rate});
  const Batch example = draw(data, numbers, false);
  auto update = make_step(
      task,
      [&](Tape&, Tensor words, Tensor lengths, Tensor good) {
        const Tensor loss = binary_cross_entropy_with_logits(net(words, {.lengths = lengths}), good);
        backward(loss);
        return loss;
      },
      example.words, example.lengths, example.good);
  auto judge = make_step(
      task, [&](Tape&, Tensor words, Tensor lengths) { return net(words, {.lengths = lengths}); }, example.words,
      example.lengths);
  for (Index i = 1; i <= updates; ++i) {
    const Batch b = draw(data, numbers, false);
    const double loss = update(b.words, b.lengths, b.good).item();
    clip_grad_norm(parameters, 1);
    adam.set_rate(rate * (1 - static_cast<double>(i - 1) / static_cast<double>(updates)));
    adam.step();
    task.progress(name, i, updates, "loss ", loss);
  }
  Index right = 0, done = 0;
  while (done < (task.quick() ? 640 : 4032)) {
    const Batch b = draw(fresh, numbers, true);
    const Array answers = judge(b.words, b.lengths).array();
    for (Index n = 0; n < batch; ++n, ++done) {
      const auto& review = b.reviews[static_cast<std::size_t>(n)];
      right += (answers.at({n, 0}) > 0) == review.good ? 1 : 0;
      if (done < 3)
        std::cout << "  " << text_of(review.words) << ": " << (answers.at({n, 0}) > 0 ? "good" : "bad") << '\n';
    }
  }
  return static_cast<double>(right) / static_cast<double>(done);
}

int sentiment(Task& task) {
  Words numbers;
  Rng all(0), rng(task.seed());
  for (Index i = 0; i < 5000; ++i)  // so that every word has its number before the net is made
    for (const std::string& word : draw_review(all).words) numbers[word];
  const Index hidden = task.count("hidden"), updates = task.count("steps");
  const Readout gru{GruCell(numbers.size(), hidden, rng), Linear(hidden, 1, rng), {.return_sequences = false}};
  const double accuracy = learn(task, "GRU", gru, numbers, updates, 5e-3);
  const double bag = learn(task, "bag of words", BagOfWords(numbers.size(), rng), numbers, updates / 2, 2e-2);
  const double least = task.quick() ? 0.75 : 0.99;
  return task.result(accuracy >= least, "sentences never seen judged right: GRU ", 100 * accuracy, " %, bag of words ",
                     100 * bag, " %");
}

}  // namespace

int main(int argc, char** argv) {
  return run_task(argc, argv, {{"steps", "1500", "600"}, {"hidden", "64", "32"}}, sentiment);
}
