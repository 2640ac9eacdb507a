// Memorisation (Zaremba and Sutskever, "Learning to execute", 2014, section 5): read a string of letters, then write it
// out. Trained on strings of every length up to --length, tested on 2,000 fresh ones of exactly that length: right is
// what the network writes by itself without a mistake, end included. With --tricks 1, the string is read in reverse,
// and with --tricks 2 twice: their "input reversing" and "input doubling".
//
// Longer: memorisation --length 20 --hidden 256 --steps 30000
#include <rewind/rewind.h>

#include "string_model.h"
#include "task.h"

using namespace rw;

namespace {

StringPair draw(Rng& rng, Index length, Index tricks) {
  std::string text;
  for (Index i = 0; i < length; ++i) text += static_cast<char>('a' + rng.below(26));
  const std::string reversed(text.rbegin(), text.rend());
  return {(tricks == 0 ? text : tricks == 1 ? reversed : text + text) + '=', text + '.'};
}

int memorisation(Task& task) {
  const Index length = task.count("length", 1, 1000), updates = task.count("steps"),
              tricks = task.count("tricks", 0, 2);
  Rng rng(task.seed());
  Rng data = rng.split(1), fresh = rng.split(2);
  StringModel model(
      "abcdefghijklmnopqrstuvwxyz=.", rng,
      {.hidden = task.count("hidden"), .rate = falling(task.number("rate"), updates, 0.5), .eager = task.eager()});

  while (model.updates() < updates) {
    std::vector<StringPair> batch;
    for (int n = 0; n < 4 * 32; ++n) batch.push_back(draw(data, 1 + data.below(length), tricks));
    const double loss = model.train(std::move(batch));
    task.progress("lstm", model.updates(), updates, "cross entropy ", loss);
  }
  std::vector<StringPair> test;
  for (int n = 0; n < 2000; ++n) test.push_back(draw(fresh, length, tricks));
  const StringScores scores = model.test(test);
  return task.result(task.quick() ? scores.characters > 0.3 : scores.whole >= 0.99, 100 * scores.whole,
                     "% of 2000 fresh strings of ", length, " letters exact, ", 100 * scores.characters,
                     "% of their letters right");
}

}  // namespace

int main(int argc, char** argv) {
  return run_task(argc, argv,
                  {{"steps", "20000", "300"},
                   {"length", "8", "2"},
                   {"hidden", "128", "64"},
                   {"tricks", "0", "0"},
                   {"rate", "0.005", "0.01"}},
                  memorisation);
}
