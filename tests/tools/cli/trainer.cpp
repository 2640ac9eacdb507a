#include <algorithm>
#include <cmath>
#include <string>

#include <doctest/doctest.h>

#include <rewind/core/error.h>
#include <rewind/core/threads.h>
#include <rewind/models/weights/serialize.h>
#include <rewind/tools/cli/trainer.h>

#include "run.h"

using namespace rw;
using namespace rw::cli;

namespace {

std::string some_text() {
  std::string text;
  for (int i = 0; i < 150; ++i) text += "int x" + std::to_string(i * 7 % 100) + " = " + std::to_string(i) + ";\n";
  return text;
}

Corpus corpus(const std::string& text = some_text()) {
  const Scratch scratch;
  return read_corpus({scratch.write("a.txt", text)});
}

TrainOptions small() { return {.layers = 1, .hidden = 12, .dropout = 0.2, .batch = 4, .sequence = 20}; }

std::vector<float> weights(const Trainer& trainer) {
  std::vector<float> all;
  for (const NamedParameter& p : trainer.model().parameters()) {
    const auto one = p.parameter->value().span<float>();
    all.insert(all.end(), one.begin(), one.end());
  }
  return all;
}

void run(Trainer& trainer, Index to) {
  while (trainer.steps() < to) {
    trainer.schedule(trainer.fraction(0));
    trainer.step();
    if (trainer.options().looks() && trainer.at_epoch_end()) trainer.observe(trainer.held_out_loss());
  }
}

}  // namespace

TEST_CASE("files are read one after the other, and a text is known by its characters") {
  const Scratch scratch;
  const std::string a = scratch.write("a", "héllo"), b = scratch.write("b", " wörld"), c = scratch.write("c", " worlD");
  const Corpus both = read_corpus({a, b});
  CHECK(both.vocabulary.decode(both.symbols) == U"héllo wörld");
  CHECK(both.mark == read_corpus({scratch.write("ab", "héllo wörld")}).mark);
  CHECK(both.mark != read_corpus({a, c}).mark);
  CHECK(both.mark.starts_with("11 characters, "));
}

TEST_CASE("a run that is saved and restored at any step goes on to the same bits") {
  for (const char* optimizer : {"momentum", "rmsprop", "adam"}) {
    for (const bool eager : {false, true}) {
      const char* cell = optimizer[0] == 'a' ? "gru+zoneout=0.2+drop-h=0.2" : "lstm";
      CAPTURE(optimizer);
      CAPTURE(eager);
      TrainOptions options = small();
      options.eager = eager;
      options.optimizer = optimizer;
      options.cell = cell;
      options.rate = 1e-3;
      const Budget budget{.steps = 60};
      Trainer whole(options, budget, corpus());
      run(whole, 60);
      Trainer first(options, budget, corpus());
      const Index middle = first.data().train_chunks() + 3;  // within the second epoch
      run(first, middle);
      const ArrayFile saved = first.save({});
      Trainer second(options, budget, corpus());
      second.restore(saved, "saved");
      CHECK(second.steps() == middle);
      run(second, 60);
      CHECK(weights(second) == weights(whole));
      CHECK(second.held_out_loss() == whole.held_out_loss());
    }
  }
}

TEST_CASE("so does one with a plateau, an average, early stopping and a warm-up") {
  TrainOptions options = small();
  options.schedule = "plateau";
  options.decay = 0.5;
  options.patience = 0;
  options.rate = 2;  // far too high: the held-out loss goes up and down, in ten epochs surely
  options.average = 0.9;
  options.early_stop = 50;
  options.warm_up = 12;
  const Budget budget{.steps = 240};
  Trainer whole(options, budget, corpus());
  run(whole, 240);
  whole.schedule(1);
  CHECK(whole.rate() < 2);  // it fell
  for (const Index middle : {Index(5), 2 * whole.data().train_chunks(), 2 * whole.data().train_chunks() + 3}) {
    Trainer first(options, budget, corpus());
    run(first, middle);
    const ArrayFile saved = first.save({});
    Trainer second(options, budget, corpus());
    second.restore(saved, "saved");
    run(second, 240);
    CHECK(weights(second) == weights(whole));
    CHECK(second.best_held_out() == whole.best_held_out());
    second.schedule(1);
    CHECK(second.rate() == whole.rate());
    const Scratch scratch;
    second.save_model(scratch.file("second"));
    CHECK(weights(second) == weights(whole));  // training may go on
    whole.save_model(scratch.file("whole"));
    CHECK(scratch.read("second") == scratch.read("whole"));
  }
}

TEST_CASE("a run that stops early keeps the weights of its best epoch, or their average") {
  for (const double average : {0.0, 0.8}) {
    TrainOptions options = small();
    options.schedule = "constant";
    options.rate = 0.1;
    options.early_stop = 2;
    options.average = average;
    Trainer trainer(options, {.epochs = 1000}, corpus());
    std::vector<double> losses;
    while (!trainer.done(0)) {
      run(trainer, trainer.steps() + trainer.data().train_chunks());
      losses.push_back(trainer.held_out_loss());
    }
    REQUIRE(losses.size() < 1000);
    CHECK(trainer.stopped());
    const double best = *std::min_element(losses.begin(), losses.end());
    CHECK(losses[losses.size() - 3] == best);
    CHECK(trainer.best_held_out() == best);
    const Scratch scratch;
    const auto last = weights(trainer);
    trainer.save_model(scratch.file("model"));
    CHECK(weights(trainer) == last);
    CHECK_THROWS_AS(trainer.save_model(scratch.file("no/such/folder")), Error);
    CHECK(weights(trainer) == last);
    options.average = 0;
    Trainer saved(options, {.epochs = 1}, corpus());
    load_model(scratch.file("model"), saved.model());
    CHECK(saved.held_out_loss() == best);
  }
}

TEST_CASE("looking at the held-out loss changes no bit of the training") {
  const Budget budget{.steps = 20};
  Trainer a(small(), budget, corpus()), b(small(), budget, corpus());
  run(a, 20);
  for (Index step = 5; step <= 20; step += 5) {
    run(b, step);
    CHECK(b.held_out_loss() == b.held_out_loss());
  }
  CHECK(weights(a) == weights(b));
}

TEST_CASE("the number of threads changes no bit") {
  const Budget budget{.steps = 10};
  TrainOptions options = small();
  options.shards = 3;
  for (const bool eager : {false, true}) {
    CAPTURE(eager);
    options.eager = eager;
    const int before = threads();
    set_threads(1);
    Trainer one(options, budget, corpus());
    run(one, 10);
    set_threads(4);
    Trainer four(options, budget, corpus());
    run(four, 10);
    set_threads(before);
    CHECK(weights(one) == weights(four));
  }
}

TEST_CASE("a compiled run and an eager one learn the same, dropout and all") {
  for (const char* cell : {"lstm", "lstm+norm+zoneout=0.05/0.5+drop-x=0.2+drop-h=0.2"}) {
    CAPTURE(cell);
    TrainOptions options = small();
    options.cell = cell;
    options.optimizer = "sgd";
    options.schedule = "constant";
    options.rate = 0.5;
    Trainer compiled(options, {.steps = 8}, corpus());
    options.eager = true;
    Trainer eager(options, {.steps = 8}, corpus());
    for (int i = 0; i < 8; ++i) CHECK(compiled.step() == doctest::Approx(eager.step()).epsilon(1e-5));
    CHECK(compiled.held_out_loss() == doctest::Approx(eager.held_out_loss()).epsilon(1e-5));
  }
}

TEST_CASE("shards share the batch: their gradients add up to the whole batch's") {
  const Budget budget{.steps = 3};
  TrainOptions options = small();
  options.dropout = 0;  // masks belong to shards
  options.optimizer = "sgd";
  options.schedule = "constant";
  options.rate = 0.1;
  options.shards = 1;
  Trainer one(options, budget, corpus());
  options.shards = 3;
  Trainer three(options, budget, corpus());
  for (int i = 0; i < 3; ++i) CHECK(one.step() == doctest::Approx(three.step()).epsilon(1e-5));
  const auto x = weights(one), y = weights(three);
  for (std::size_t i = 0; i < x.size(); ++i) CHECK(x[i] == doctest::Approx(y[i]).epsilon(1e-4));
}

TEST_CASE("schedules") {
  TrainOptions options = small();
  const auto rate_at = [&](Budget budget, Index step, double fraction) {
    Trainer trainer(options, budget, corpus());
    run(trainer, step);
    trainer.schedule(fraction);
    return trainer.rate();
  };
  options.rate = 1;
  options.schedule = "constant";
  CHECK(rate_at({.steps = 10}, 0, 0.7) == 1);
  options.schedule = "cosine";
  CHECK(rate_at({.steps = 10}, 0, 0) < 0.05);
  CHECK(rate_at({.steps = 10}, 0, 0.03) == doctest::Approx(1).epsilon(0.01));
  CHECK(rate_at({.steps = 10}, 0, 0.5) == doctest::Approx(0.51));
  CHECK(rate_at({.steps = 10}, 0, 1) == doctest::Approx(0.02));
  options.schedule = "steps";
  options.rate = 1e-3;
  options.decay = 0.5;
  options.decay_after = 1;
  const Index epoch = Trainer(options, {.steps = 1}, corpus()).data().train_chunks();
  CHECK(rate_at({.epochs = 9}, epoch - 1, 0) == 1e-3);
  CHECK(rate_at({.epochs = 9}, epoch, 0) == 0.5e-3);
  CHECK(rate_at({.epochs = 9}, 2 * epoch, 0) == 0.25e-3);
  options.schedule = "exponential";
  CHECK(rate_at({.epochs = 9}, 0, 0) == 1e-3);
  CHECK(rate_at({.epochs = 9}, epoch + 1, 0) ==
        doctest::Approx(1e-3 * std::pow(0.5, 1 + 1 / static_cast<double>(epoch))));
  options.schedule = "constant";
  options.warm_up = 4;
  CHECK(rate_at({.epochs = 9}, 0, 0) == doctest::Approx(0.01e-3));
  CHECK(rate_at({.epochs = 9}, 2, 0) == doctest::Approx(0.505e-3));
  CHECK(rate_at({.epochs = 9}, 4, 0) == 1e-3);
  options.schedule = "cosine";  // without its own
  CHECK(rate_at({.epochs = 9}, 4, 0) == doctest::Approx(1e-3));
  options = small();
  options.schedule = "plateau";
  options.decay = 0.5;
  options.patience = 1;
  options.rate = 1;
  Trainer trainer(options, {.epochs = 9}, corpus());
  for (const double loss : {3.0, 2.0, 2.5, 2.0}) trainer.observe(loss);
  trainer.schedule(0);
  CHECK(trainer.rate() == 0.5);
}

TEST_CASE("budgets: epochs, steps and seconds") {
  const TrainOptions options = small();
  Trainer steps(options, {.steps = 4}, corpus());
  run(steps, 2);
  CHECK(steps.fraction(1e9) == 0.5);
  Trainer epochs(options, {.epochs = 1.5}, corpus());
  const Index chunks = epochs.data().train_chunks();
  CHECK(epochs.all_steps() == std::llround(1.5 * static_cast<double>(chunks)));
  Trainer seconds(options, {.seconds = 10}, corpus());
  CHECK(seconds.all_steps() == 0);
  CHECK(seconds.fraction(5) == 0.5);
  CHECK(seconds.done(10));
}

TEST_CASE("a rate that is too high ends the run with a message") {
  TrainOptions options = small();
  options.optimizer = "sgd";
  options.schedule = "constant";
  options.rate = 1e39;
  options.clip = 0;
  Trainer trainer(options, {.steps = 100}, corpus());
  CHECK_THROWS_AS(run(trainer, 100), Error);
}

TEST_CASE("a checkpoint of another text, another version, or with parts missing does not fit") {
  const Budget budget{.steps = 9};
  Trainer trainer(small(), budget, corpus());
  const ArrayFile good = trainer.save({});
  CHECK(read_checkpoint(good, "c").options.hidden == 12);
  CHECK(read_checkpoint(good, "c").budget.steps == 9);
  Trainer other(small(), budget, corpus(some_text() + "!"));
  CHECK_THROWS_AS(other.restore(good, "c"), Error);
  ArrayFile bad = good;
  bad.arrays.pop_back();
  CHECK_THROWS_AS(trainer.restore(bad, "c"), Error);
  bad = good;
  bad.metadata["version"] = "0";
  CHECK_THROWS_WITH_AS(read_checkpoint(bad, "c"),
                       "c: a checkpoint that cannot be used: version 0; this program reads version 2", Error);
  bad.metadata = {};
  CHECK_THROWS_WITH_AS(read_checkpoint(bad, "c"), "c: a safetensors file, but not a checkpoint of a training run",
                       Error);
  bad = good;
  bad.metadata["options"] = "{";
  CHECK_THROWS_AS(read_checkpoint(bad, "c"), Error);
  bad = good;
  bad.metadata.erase("text");
  CHECK_THROWS_AS(read_checkpoint(bad, "c"), Error);
}
