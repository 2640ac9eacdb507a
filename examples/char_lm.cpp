// A character language model (as Karpathy, "The unreasonable effectiveness of recurrent neural networks", 2015), on a
// text about which everything is known: random numbers below 1,000, spelled out ("seven hundred and forty-two, nine,
// ..."). Nobody can predict the next number, so no model can have less than ln 1000 nats for each: the entropy of the
// text. Asked for is a loss on held-out text within 3% of that; a bigram model has more than four times as much.
//
// A text of your own: char_lm --text FILE --steps 20000 --hidden 256 (or `rewind train FILE`)
#include <cmath>

#include <rewind/rewind.h>

#include "learn_text.h"
#include "task.h"

using namespace rw;

namespace {

constexpr Index batch = 32, sequence = 50;

std::string spelled(Index n) {
  static const char* const small[] = {"zero",     "one",     "two",     "three",     "four",     "five",    "six",
                                      "seven",    "eight",   "nine",    "ten",       "eleven",   "twelve",  "thirteen",
                                      "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"};
  static const char* const tens[] = {"",      "",      "twenty",  "thirty", "forty",
                                     "fifty", "sixty", "seventy", "eighty", "ninety"};
  if (n < 20) return small[n];
  if (n < 100) return tens[n / 10] + (n % 10 > 0 ? std::string("-") + small[n % 10] : "");
  return std::string(small[n / 100]) + " hundred" + (n % 100 > 0 ? " and " + spelled(n % 100) : "");
}

/// The text, and its entropy in nats per character (0: unknown).
std::pair<std::u32string, double> text_of(const Task& task, Rng rng) {
  if (!task.text("text").empty()) return {decode_utf8(read_file(task.text("text"))), 0};
  const Index numbers = task.count("numbers");
  std::string text;
  for (Index i = 0; i < numbers; ++i) text += spelled(rng.below(1000)) + ", ";
  return {decode_utf8(text), static_cast<double>(numbers) * std::log(1000.0) / static_cast<double>(text.size())};
}

int char_lm(Task& task) {
  Rng rng(task.seed());
  const auto [text, entropy] = text_of(task, rng.split(1));
  const Vocabulary vocabulary = Vocabulary::of(text);
  const TextData data(vocabulary.encode(text), {.batch = batch, .sequence = sequence, .held_out = 0.1});
  CharModel model(vocabulary, {.layers = 1, .hidden = task.count("hidden")}, rng);
  const double loss = learn_text(task, model, data, batch, falling(3e-3, task.count("steps")));

  model.eval();
  CharWriter writer(model, {}, task.seed());
  std::u32string sample;
  for (int i = 0; i < 100; ++i) sample += writer.next();
  std::cout << "it writes: " << encode_utf8(sample) << '\n';
  const double bigram = bigram_loss(data, vocabulary.size());
  const bool ok = entropy > 0 && !task.quick() ? loss < 1.03 * entropy : loss < bigram;
  const std::string known = entropy > 0 ? "the text's entropy is " + std::to_string(entropy) + ", " : "";
  return task.result(ok, "held-out loss ", loss, " nats a character (", known, "a bigram model has ", bigram, ")");
}

}  // namespace

int main(int argc, char** argv) {
  return run_task(argc, argv,
                  {{"steps", "2000", "150"}, {"hidden", "128", "64"}, {"numbers", "40000", "6000"}, {"text", "", ""}},
                  char_lm);
}
