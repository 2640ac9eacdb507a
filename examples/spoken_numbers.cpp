// Many-to-many, delayed: spoken numbers to digits ("nineteen hundred and four" -> 1904, "seven thousand and four" ->
// 7004) by an encoder-decoder with attention, once additive (Bahdanau, Cho and Bengio, 2015) and once dot-product with
// input feeding (Luong, Pham and Manning, 2015). A bidirectional encoder reads words, padded to the longest; the
// decoder is trained with teacher forcing and tested free running. A fifth of all numbers from 100 to 999,999 is never
// trained on; 2,000 of those, drawn anew, are the test, and only an exact match counts.
//
// Longer: spoken_numbers --steps 6000 --hidden 128
#include <rewind/rewind.h>

#include "step.h"
#include "task.h"
#include "words.h"

using namespace rw;

namespace {

constexpr Index batch = 64, longest = 12, digits = 7;  // six digits and the end
constexpr Index symbols = 11, end = 10;                // the end is also where the decoder begins

void say_below_hundred(Index n, Sentence& out) {
  static const Sentence small{"zero",     "one",     "two",     "three",     "four",     "five",    "six",
                              "seven",    "eight",   "nine",    "ten",       "eleven",   "twelve",  "thirteen",
                              "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"};
  static const Sentence tens{"", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"};
  if (n >= 20) out.push_back(tens[static_cast<std::size_t>(n / 10)]);
  if (n < 20 || n % 10 != 0) out.push_back(small[static_cast<std::size_t>(n < 20 ? n : n % 10)]);
}

void say_rest(Index n, Rng& rng, Sentence& out) {
  if (n > 0 && rng.below(2) == 0) out.emplace_back("and");
  if (n > 0) say_below_hundred(n, out);
}

void say_below_thousand(Index n, Rng& rng, Sentence& out) {
  if (n < 100) return say_below_hundred(n, out);
  if (n / 100 == 1 && rng.below(2) == 0)
    out.emplace_back("a");
  else
    say_below_hundred(n / 100, out);
  out.emplace_back("hundred");
  say_rest(n % 100, rng, out);
}

/// One of the ways to say n, up to 11 words.
Sentence say(Index n, Rng& rng) {
  Sentence out;
  if (n >= 1100 && n < 10000 && n / 100 % 10 != 0 && rng.below(3) == 0) {  // nineteen hundred and four
    say_below_hundred(n / 100, out);
    out.emplace_back("hundred");
    say_rest(n % 100, rng, out);
  } else if (n >= 1000) {
    say_below_thousand(n / 1000, rng, out);
    out.emplace_back("thousand");
    n %= 1000;
    if (n >= 100)
      say_below_thousand(n, rng, out);
    else
      say_rest(n, rng, out);
  } else {
    say_below_thousand(n, rng, out);
  }
  return out;
}

/// Any number of digits from 1 to 6 is as likely.
Index draw_number(Rng& rng, bool test) {
  for (;;) {
    Index below = 10;
    for (Index d = rng.below(6); d > 0; --d) below *= 10;
    const Index n = below / 10 + rng.below(below - below / 10);
    if ((n >= 100 && held_out(std::to_string(n))) == test) return n;
  }
}

struct Batch {
  std::vector<Sentence> spoken;
  std::vector<std::string> written;
  Array source, source_lengths;   // [longest, N], [N]
  Array targets, target_lengths;  // [digits, N], [N], with the end
};

Batch draw(Rng& rng, Words& words, bool test) {
  Batch b;
  std::vector<Array> sources, targets;
  for (Index i = 0; i < batch; ++i) {
    const Index n = draw_number(rng, test);
    b.spoken.push_back(say(n, rng));
    b.written.push_back(std::to_string(n));
    std::vector<std::int32_t> source, target;
    for (const std::string& word : b.spoken.back()) source.push_back(words[word]);
    for (char digit : b.written.back()) target.push_back(digit - '0');
    target.push_back(end);
    sources.emplace_back(source);
    targets.emplace_back(target);
  }
  PaddedBatch in = pad_sequences(sources, longest), out = pad_sequences(targets, digits);
  b.source = std::move(in.values), b.source_lengths = std::move(in.lengths);
  b.targets = std::move(out.values), b.target_lengths = std::move(out.lengths);
  return b;
}

/// Words in, logits of digits out.
template <class A>
class Translator : public Module {
 public:
  using Decoder = AttentionCell<LstmCell, A>;
  Translator(Index words, Index hidden, Decoder decoder, Index out, Rng& rng)
      : embedding_(child("embedding", Embedding(words, 24, rng))),
        encoder_(child("encoder", Bidirectional<GruCell>{GruCell(24, hidden, rng), GruCell(24, hidden, rng)})),
        bridge_(child("bridge", Linear(2 * hidden, hidden, rng))),
        decoder_(child("decoder", std::move(decoder))),
        head_(child("head", Linear(out, symbols, rng))) {}

  /// Teacher forcing: the decoder reads the digits that are right.
  Tensor loss(Tensor source, Tensor source_lengths, Tensor targets, Tensor target_lengths) const {
    const Tensor read = one_hot(shifted(targets, end), symbols);
    const Tensor logits = head_(outputs(decoder_, unroll(decoder_, read, encode(source, source_lengths))));
    return cross_entropy(logits, targets, {.weights = sequence_mask(target_lengths, digits)});
  }
  /// Free running: it reads the digits that it wrote. [digits, N, symbols], one-hot.
  Tensor write(Tensor source, Tensor lengths) const {
    const auto choose = [&](Tensor y) { return hardmax(head_(y)); };
    const Tensor begin = one_hot(source.tape().constant(full({source.size(1)}, end, DType::i32)), symbols);
    return choose(outputs(decoder_, feed_back(decoder_, begin, encode(source, lengths), digits, choose)));
  }

 private:
  typename Decoder::State encode(Tensor source, Tensor lengths) const {
    const auto states =
        unroll(encoder_, embedding_(source), encoder_.zero_state(source.tape(), source.size(1)), {.lengths = lengths});
    const Tensor h = tanh(bridge_(output(encoder_, last_state(encoder_, states))));
    return decoder_.start({.h = h, .c = 0 * h}, decoder_.attention().remember(outputs(encoder_, states), lengths));
  }

  Embedding& embedding_;
  Bidirectional<GruCell>& encoder_;
  Linear& bridge_;
  Decoder& decoder_;
  Linear& head_;
};

/// What is written up to the end, for sequence n of one-hot [digits, N, symbols].
std::string read_digits(const Array& written, Index n) {
  std::string text;
  for (Index t = 0; t < digits; ++t)
    for (Index s = 0; s < symbols; ++s)
      if (written.at({t, n, s}) == 1) {
        if (s == end) return text;
        text += static_cast<char>('0' + s);
      }
  return text;
}

template <class A>
Index learn(Task& task, const std::string& name, const Translator<A>& net, Words& words, Index tests) {
  Rng rng(task.seed());
  Rng data = rng.split(1), fresh = rng.split(2);
  const auto parameters = net.parameters();
  const double rate = 4e-3;
  Adam adam(parameters, {.rate = rate});
  const Batch example = draw(data, words, false);
  auto update = make_step(
      task,
      [&](Tape&, Tensor source, Tensor source_lengths, Tensor targets, Tensor target_lengths) {
        const Tensor loss = net.loss(source, source_lengths, targets, target_lengths);
        backward(loss);
        return loss;
      },
      example.source, example.source_lengths, example.targets, example.target_lengths);
  auto write = make_step(
      task, [&](Tape&, Tensor source, Tensor lengths) { return net.write(source, lengths); }, example.source,
      example.source_lengths);

  const Index updates = task.count("steps");
  for (Index i = 1; i <= updates; ++i) {
    const Batch b = draw(data, words, false);
    const double loss = update(b.source, b.source_lengths, b.targets, b.target_lengths).item();
    clip_grad_norm(parameters, 1);
    adam.set_rate(rate * (1 - static_cast<double>(i - 1) / static_cast<double>(updates)));
    adam.step();
    task.progress(name, i, updates, "loss of a digit ", loss);
  }
  Index right = 0;
  for (Index done = 0; done < tests;) {
    const Batch b = draw(fresh, words, true);
    const Array written = write(b.source, b.source_lengths).array();
    for (Index n = 0; n < batch && done < tests; ++n, ++done) {
      const std::string answer = read_digits(written, n);
      const auto at = static_cast<std::size_t>(n);
      right += answer == b.written[at] ? 1 : 0;
      if (done < 3) std::cout << "  " << text_of(b.spoken[at]) << " -> " << answer << '\n';
    }
  }
  return right;
}

int spoken_numbers(Task& task) {
  Words words;
  Rng all(0);
  for (Index n = 0; n < 20000; ++n)  // so that every word has its number before the net is made
    for (const std::string& word : say(draw_number(all, n % 2 == 0), all)) words[word];
  const Index hidden = task.count("hidden"), tests = task.quick() ? 200 : 2000;
  Rng rng(task.seed());
  Rng a = rng.split(1), b = rng.split(2);
  using Additive = AttentionCell<LstmCell, AdditiveAttention>;
  using Dot = AttentionCell<LstmCell, DotAttention>;
  LstmCell reads_context(symbols + 2 * hidden, hidden, a), reads_attended(symbols + hidden, hidden, b);
  const Translator<AdditiveAttention> additive(
      words.size(), hidden, Additive(std::move(reads_context), AdditiveAttention(hidden, 2 * hidden, hidden, a)),
      3 * hidden, a);
  const Translator<DotAttention> dot(
      words.size(), hidden,
      Dot{std::move(reads_attended), DotAttention(hidden, 2 * hidden, b), Linear(3 * hidden, hidden, b)}, hidden, b);
  const Index right_additive = learn(task, "additive", additive, words, tests);
  const Index right_dot = learn(task, "dot-product", dot, words, tests);
  const auto share = [&](Index right) { return static_cast<double>(right) / static_cast<double>(tests); };
  const double least = task.quick() ? 0.25 : 0.99;
  return task.result(share(right_additive) >= least && share(right_dot) >= least, "exact on numbers never seen, of ",
                     tests, ": additive attention ", right_additive, ", dot-product attention ", right_dot);
}

}  // namespace

int main(int argc, char** argv) {
  return run_task(argc, argv, {{"steps", "1500", "300"}, {"hidden", "64", "32"}}, spoken_numbers);
}
