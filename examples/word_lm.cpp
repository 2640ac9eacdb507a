// A word-level language model (Mikolov et al., "Recurrent neural network based language model", 2010; regularised as
// Zaremba, Sutskever and Vinyals, 2014): embedding, LSTM, softmax over the vocabulary. The text is, unless another is
// given, this repository's own sources and documents; words, numbers, line ends and single signs are the words. Asked
// for is a perplexity on held-out text below that of a bigram model; a unigram model's is shown, too.
//
// A text of your own, longer: word_lm --text FILE --epochs 20 --hidden 400 --dropout 0.5
#include <algorithm>
#include <cctype>
#include <cmath>
#include <filesystem>
#include <map>

#include <rewind/rewind.h>

#include "step.h"
#include "task.h"

using namespace rw;

namespace {

constexpr Index batch = 20, sequence = 35;

/// All of a text, or the sources and documents below a folder, in the order of their paths.
std::string text_at(const std::filesystem::path& path) {
  if (!std::filesystem::is_directory(path)) return read_file(path.string());
  std::vector<std::string> files;
  std::filesystem::recursive_directory_iterator walk(path);
  for (const auto& entry : walk) {
    const std::string name = entry.path().filename().string(), ending = entry.path().extension().string();
    if (name == "build" || name == "out" || name.front() == '.') walk.disable_recursion_pending();
    if (entry.is_regular_file() && (ending == ".h" || ending == ".cpp" || ending == ".md"))
      files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  std::string text;
  for (const std::string& file : files) text += read_file(file);
  return text;
}

/// Words, numbers, line ends, and every other sign by itself.
std::vector<std::string> words_of(const std::string& text) {
  const auto part_of_word = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c < 0;
  };
  std::vector<std::string> words;
  for (std::size_t i = 0; i < text.size();) {
    std::size_t end = i + 1;
    while (part_of_word(text[i]) && end < text.size() && part_of_word(text[end])) ++end;
    if (text[i] != ' ' && text[i] != '\r' && text[i] != '\t') words.push_back(text.substr(i, end - i));
    i = end;
  }
  return words;
}

/// The most frequent words, each with a number; 0 stands for all others.
std::map<std::string, std::int32_t> vocabulary_of(const std::vector<std::string>& words, Index size) {
  std::map<std::string, Index> counts;
  for (const std::string& word : words) ++counts[word];
  std::vector<std::pair<Index, std::string>> order;
  for (const auto& [word, count] : counts) order.emplace_back(-count, word);
  std::sort(order.begin(), order.end());
  std::map<std::string, std::int32_t> numbers;
  for (const auto& entry : order) {
    if (static_cast<Index>(numbers.size()) + 1 >= size) break;
    numbers.emplace(entry.second, static_cast<std::int32_t>(numbers.size()) + 1);
  }
  return numbers;
}

/// Nats per word of the held-out text by the training text's word counts, each plus one.
double unigram_loss(const TextData& data, Index words) {
  std::vector<double> counts(static_cast<std::size_t>(words), 1);
  double total = static_cast<double>(words), loss = 0, tested = 0;
  for (const bool test : {false, true})
    for (Index n = 0; n < data.batch(); ++n)
      for (const std::int32_t word :
           data.stream(n, test ? data.train_chunks() : 0, test ? data.chunks() : data.train_chunks()).subspan(1)) {
        double& count = counts[static_cast<std::size_t>(word)];
        loss -= test ? std::log(count / total) : 0;
        tested += test;
        if (!test) ++count, ++total;
      }
  return loss / tested;
}

class WordModel : public Module {
 public:
  using State = LstmCell::State;
  WordModel(Index words, Index width, double rate, Rng& rng)
      : Module("word_model"),
        embedding_(child("embedding", Embedding(words, width, rng, {.weights = Init::uniform(0.1)}))),
        lstm_(child("lstm", LstmCell(width, width, rng))),
        head_(child("head", Linear(width, words, rng))),
        rate_(rate) {}

  State zero_state(Tape& tape) const { return lstm_.zero_state(tape, batch); }
  /// Words [T, N] -> [T, N, words], and the state after the last of them.
  Tensor logits(Tensor x, State& s) const {
    const auto states = unroll(lstm_, dropped(embedding_(x)), s);
    s = states.back();
    return head_(dropped(outputs(states)));
  }

 private:
  Tensor dropped(Tensor x) const { return training() ? dropout(x, rate_) : x; }

  Embedding& embedding_;
  LstmCell& lstm_;
  Linear& head_;
  double rate_;
};

/// Trains over the text `epochs` times, the rate warming up and then falling in half a cosine.
void train(Task& task, WordModel& model, WeightAverage& average, const TextData& data, Index epochs) {
  const Index updates = epochs * data.train_chunks();
  Adam adam({{.parameters = model.parameters(), .clip_norm = 1}}, {});
  const Schedule rate = warm_up(CosineDecay{.rate = 3e-3, .steps = updates, .floor = 1e-4}, 100);
  Tape tape;
  const WordModel::State zero = model.zero_state(tape);
  const TextData::Chunk example = data.chunk(0);
  auto learn = make_step(
      task,
      [&](Tape&, Tensor x, Tensor y, WordModel::State s) {
        const Tensor loss = cross_entropy(model.logits(x, s), y);
        backward(loss);
        return std::pair(loss, s);
      },
      example.inputs, example.targets, zero);
  learn.set_seed(task.seed());
  WordModel::State state = zero;
  for (Index i = 0; i < updates; ++i) {
    const Index chunk = i % data.train_chunks();
    const TextData::Chunk c = data.chunk(chunk);
    const auto [loss, next] = learn(c.inputs, c.targets, chunk == 0 ? zero : state);
    state = next;  // carried on, without gradient
    adam.set_rate(rate(i));
    adam.step();
    average.update();
    task.progress("lstm", i + 1, updates, "perplexity ", perplexity(loss.item()));
  }
}

Score evaluate(const Task& task, WordModel& model, const TextData& data) {
  model.eval();
  Tape tape;
  const WordModel::State zero = model.zero_state(tape);
  auto predict = make_step(
      task, [&](Tape&, Tensor x, WordModel::State s) { return std::pair(model.logits(x, s), s); }, data.chunk(0).inputs,
      zero);
  Score score;
  WordModel::State state = zero;
  for (Index c = data.train_chunks(); c < data.chunks(); ++c) {
    const TextData::Chunk chunk = data.chunk(c);
    const auto [logits, next] = predict(chunk.inputs, state);
    state = next;
    score.add(logits.value(), chunk.targets);
  }
  return score;
}

int word_lm(Task& task) {
  const std::string path = task.text("text").empty() ? REWIND_SOURCE_DIR : task.text("text");
  std::vector<std::string> words = words_of(text_at(path));
  const Index most = task.count("most");
  if (most > 0 && static_cast<Index>(words.size()) > most) words.resize(static_cast<std::size_t>(most));
  const auto numbers = vocabulary_of(words, task.count("words"));
  std::vector<std::int32_t> encoded;
  for (const std::string& word : words) {
    const auto found = numbers.find(word);
    encoded.push_back(found == numbers.end() ? 0 : found->second);
  }
  const Index size = static_cast<Index>(numbers.size()) + 1;
  const TextData data(encoded, {.batch = batch, .sequence = sequence, .held_out = 0.1});
  std::cout << words.size() << " words, " << size << " of them different (the rest are one)\n";

  Rng rng(task.seed());
  WordModel model(size, task.count("hidden"), task.number("dropout"), rng);
  WeightAverage average(model.parameters(), {.decay = 0.995});
  train(task, model, average, data, task.count("epochs"));
  const Averaged averaged(average);
  const Score score = evaluate(task, model, data);
  const double bigram = perplexity(bigram_loss(data, size)), unigram = perplexity(unigram_loss(data, size));
  return task.result(score.perplexity() < (task.quick() ? unigram : bigram), "held-out perplexity ", score.perplexity(),
                     " (a bigram model has ", bigram, ", a unigram model ", unigram, "), accuracy ",
                     100 * score.accuracy(), "%, over ", score.count(), " words");
}

}  // namespace

int main(int argc, char** argv) {
  return run_task(argc, argv,
                  {{"text", "", ""},
                   {"words", "4000", "300"},
                   {"most", "0", "30000"},
                   {"epochs", "3", "10"},
                   {"hidden", "200", "48"},
                   {"dropout", "0.2", "0"}},
                  word_lm);
}
