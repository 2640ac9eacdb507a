#include <string>

#include <doctest/doctest.h>

#include <rewind/models/text/char_model.h>

#include "run.h"

namespace {

std::string some_text(int lines = 300) {
  std::string text;
  for (int i = 0; i < lines; ++i)
    text += "int x" + std::to_string(i * 7 % 100) + " = " + std::to_string(i % 10) + ";\n";
  return text;
}

const std::string small = " --hidden 16 --layers 1 --batch 4 --sequence 20 ";

/// A text in its own folder, and what the checks of bad input need.
struct Case {
  Scratch in;
  std::string text = in.write("text.txt", some_text());

  Result train(const std::string& arguments, const std::string& before = "") const {
    return run_rewind(in, "train " + arguments, before);
  }
};

double number_after(const std::string& text, const std::string& words) {
  const auto at = text.find(words);
  REQUIRE(at != std::string::npos);
  return std::stod(text.substr(at + words.size()));
}

}  // namespace

TEST_CASE("rewind train learns a text better than the bigram model, and leaves model, curve and nothing else") {
  const Case c;
  const Result result = c.train("text.txt --epochs 15 --out m.safetensors --curve c.svg" + small);
  CAPTURE(result.err);
  REQUIRE(result.code == 0);
  const double held_out = number_after(result.out, "held-out loss: "),
               bigram = number_after(result.out, "bigram model: ");
  CHECK(held_out < bigram);
  CHECK(bigram < 3);
  CHECK(result.err.find("lstm: 1 x 16") != std::string::npos);
  CHECK(c.in.read("c.svg").find("</svg>") != std::string::npos);
  for (const auto& entry : std::filesystem::directory_iterator(c.in.path)) {
    const std::string name = entry.path().filename();
    CAPTURE(name);
    CHECK((name == "text.txt" || name == "m.safetensors" || name == "c.svg" || name.starts_with("std")));
  }
  CHECK(rw::CharModel::load(c.in.file("m.safetensors")).options().hidden == 16);
}

TEST_CASE("--quiet says only the result, and nothing on standard error") {
  const Case c;
  const Result result = c.train("text.txt --steps 2 --quiet" + small);
  CHECK(result.code == 0);
  CHECK(result.err.empty());
  CHECK(result.out.find("model.safetensors: ") == 0);
}

TEST_CASE("the recipe's options can be overridden") {
  const Case c;
  const Result result = c.train("text.txt --recipe char-rnn --batch 2 --sequence 10 --steps 1");
  CHECK(result.code == 0);
  CHECK(result.err.find("lstm: 2 x 128") != std::string::npos);
  CHECK(result.err.find("2 streams") != std::string::npos);
  CHECK(c.train("text.txt --recipe karpathy").refused("--recipe is karpathy: it must be one of char-rnn"));
}

TEST_CASE("a run that was stopped and resumed makes the same file as one that was not") {
  const Case c;
  const std::string options = small + "--steps 70 --dropout 0.1 --seed 3";
  REQUIRE(c.train("text.txt --out whole" + options).code == 0);
  const Result paused = c.train("text.txt --out parts --checkpoint cp --pause-after 33" + options);
  REQUIRE(paused.code == 0);
  CHECK(paused.out == "paused after step 33; go on with: rewind train --resume cp\n");
  CHECK_FALSE(c.in.has("parts"));
  CHECK(c.train("--resume cp --pause-after 20").out.find("paused after step 53") == 0);
  const Result resumed = c.train("--resume cp");
  CAPTURE(resumed.err);
  REQUIRE(resumed.code == 0);
  CHECK(resumed.err.find("at step 53") != std::string::npos);
  CHECK(c.in.read("parts") == c.in.read("whole"));
}

TEST_CASE("a run that stops early says so, resumed too, and saves its best weights") {
  const Case c;
  const std::string options =
      small + "--epochs 200 --seed 3 --rate 0.1 --schedule plateau --early-stop 3 --average 0.5 ";
  const Result whole = c.train("text.txt --out whole" + options);
  REQUIRE(whole.code == 0);
  CHECK(whole.err.find("stopped: 3 epochs without a better held-out loss") != std::string::npos);
  REQUIRE(c.train("text.txt --out parts --checkpoint cp --pause-after 5" + options).code == 0);
  const Result resumed = c.train("--resume cp");
  REQUIRE(resumed.code == 0);
  CHECK(c.in.read("parts") == c.in.read("whole"));
  const auto last_line = [](const std::string& out) { return out.substr(out.find("held-out loss")); };
  CHECK(last_line(resumed.out) == last_line(whole.out));
  REQUIRE(c.train("--resume cp").code == 0);  // it is over
  CHECK(c.in.read("parts") == c.in.read("whole"));
}

TEST_CASE("Ctrl-C saves a checkpoint, ends with code 130, and the run goes on to the same file") {
  const Case c;
  const std::string options = small + "--steps 600 ";
  REQUIRE(c.train("text.txt --out whole" + options).code == 0);
  for (const int signal : {SIGINT, SIGTERM}) {
    CAPTURE(signal);
    const Result stopped = signal_rewind(c.in, "train text.txt --out parts" + options, "streams", signal);
    if (stopped.code != 0) {  // else it was done before the signal came
      CHECK(stopped.code == 128 + signal);
      CHECK(stopped.out.find("interrupted after step ") == 0);
      REQUIRE(c.train("--resume parts.checkpoint").code == 0);
    }
    CHECK(c.in.read("parts") == c.in.read("whole"));
    std::filesystem::remove(c.in.file("parts"));
  }
}

TEST_CASE("a checkpoint goes on with more epochs, and refuses other options and other texts") {
  const Case c;
  REQUIRE(c.train("text.txt --epochs 1 --checkpoint cp --schedule constant" + small).code == 0);
  CHECK(c.train("--resume cp --epochs 2").code == 0);
  CHECK(c.train("--resume cp --batch 8").refused("--batch cannot be given with --resume"));
  CHECK(c.train("--resume cp --recipe char-rnn").refused("--recipe cannot be given with --resume"));
  c.in.write("text.txt", some_text(299));
  CHECK(c.train("--resume cp --epochs 2").refused("cp: this run read another text"));
  CHECK(c.train("--resume model.safetensors").refused("not a checkpoint of a training run"));
  CHECK(c.train("--resume text.txt").refused("text.txt"));
  CHECK(c.train("--resume none").refused("none"));
}

TEST_CASE("texts that cannot be learned") {
  const Case c;
  c.in.write("empty", "");
  c.in.write("one", "x");
  c.in.write("short", "abcdefgh");
  c.in.write("latin", "caf\xE9 au lait");
  CHECK(c.train("").refused("which TEXT to learn?"));
  CHECK(c.train("none").refused("none: cannot open: No such file or directory"));
  CHECK(c.train(".").refused("."));
  CHECK(c.train("empty").refused("empty is empty: there is nothing to learn"));
  CHECK(c.train("one").refused("the text has 1 character: there is nothing to learn"));
  CHECK(c.train("latin").refused("latin: invalid UTF-8 at byte offset 4"));
  CHECK(c.train("text.txt latin").refused("latin: invalid UTF-8 at byte offset 4"));
  CHECK(c.train("short").refused("the text has 8 characters, too few"));
  CHECK(c.train("text.txt --batch 100 --sequence 1000").refused("too few"));
  CHECK_FALSE(c.in.has("model.safetensors"));
}

TEST_CASE("options that make no sense are named") {
  const Case c;
  CHECK(c.train("text.txt --hidden 0").refused("--hidden is 0: it must be at least 1"));
  CHECK(c.train("text.txt --hidden -5").refused("--hidden is -5"));
  CHECK(c.train("text.txt --hidden many").refused("--hidden"));
  CHECK(c.train("text.txt --hidden 99999999999999999999").refused("--hidden"));
  CHECK(c.train("text.txt --hidden 9999999").refused("make --hidden smaller"));
  CHECK(c.train("text.txt --layers 0").refused("--layers is 0"));
  CHECK(c.train("text.txt --rate nan").refused("--rate is nan: it must be a positive number"));
  CHECK(c.train("text.txt --rate inf").refused("--rate is inf"));
  CHECK(c.train("text.txt --rate 0").refused("--rate is 0"));
  CHECK(c.train("text.txt --rate -1e-3").refused("--rate is -0.001"));
  CHECK(c.train("text.txt --dropout 1").refused("--dropout is 1"));
  CHECK(c.train("text.txt --split 1").refused("--split is 1"));
  CHECK(c.train("text.txt --batch 0").refused("--batch is 0"));
  CHECK(c.train("text.txt --sequence 0").refused("--sequence is 0"));
  CHECK(c.train("text.txt --clip nan").refused("--clip is nan"));
  CHECK(c.train("text.txt --decay 2").refused("--decay is 2"));
  CHECK(c.train("text.txt --decay 1 --schedule plateau").refused("--decay is 1: it must be below 1 for"));
  CHECK(c.train("text.txt --schedule up").refused("--schedule is up: it must be one of constant, steps, exponential"));
  CHECK(c.train("text.txt --schedule plateau --split 0").refused("--split is 0: it must be above 0 for --schedule"));
  CHECK(c.train("text.txt --early-stop -1").refused("--early-stop is -1: it must be at least 0"));
  CHECK(c.train("text.txt --average 1").refused("--average is 1: it must be at least 0 and below 1"));
  CHECK(c.train("text.txt --warm-up -1").refused("--warm-up is -1"));
  CHECK(c.train("text.txt --patience -1").refused("--patience is -1"));
  CHECK(c.train("text.txt --cell lstn").refused("--cell is lstn: no cell 'lstn'; there are: lstm, gru"));
  CHECK(c.train("text.txt --cell gru+coupled")
            .refused(
                "--cell is gru+coupled: cell 'gru+coupled': there is no option 'coupled'; of its own gru has before, "
                "takes"));
  CHECK(c.train("text.txt --cell lstm+1997+coupled").refused("lstm: coupled gates need a forget gate"));
  CHECK(c.train("text.txt --cell lstm+learned").refused("--cell is lstm+learned: learned is for many short sequences"));
  CHECK(c.train("text.txt --cell lstm+drop-x=0.5 --embedding 0")
            .refused("a one-hot character has no features to drop; give --embedding"));
  CHECK(c.train("text.txt --optimizer adan").refused("--optimizer is adan"));
  CHECK(c.train("text.txt --init best").refused("--init is best"));
  CHECK(c.train("text.txt --epochs 0 --steps 0 --seconds -1").refused("--seconds is -1"));
  CHECK(c.train("text.txt --epochs 2 --steps 3").refused("one of --epochs, --steps and --seconds"));
  CHECK(c.train("text.txt --threads -1").refused("--threads is -1"));
  CHECK(c.train("text.txt --no-such-option").refused("--no-such-option"));
  CHECK(run_rewind(c.in, "").refused("subcommand"));
}

TEST_CASE("a long value does not push out what is wrong with it") {
  const Scratch in;
  in.write("t.txt", "some text to learn");
  for (const auto& given :
       std::initializer_list<std::pair<std::string, std::string>>{{"--cell ", "...: no cell"},
                                                                  {"--cell lstm+", "there is no option"},
                                                                  {"--optimizer ", "...: it must be one of"},
                                                                  {"--init=", "...: it must be one of"},
                                                                  {"--hidden ", "is not a whole number"},
                                                                  {"--resume ", "File name too long"}}) {
    INFO(given.first);
    const Result r = run_rewind(in, "train t.txt " + given.first + std::string(5000, 'x'));
    CHECK(r.refused(given.second));
    CHECK(r.err.size() < 1200);
  }
}

TEST_CASE("a run that diverges ends with a message, and leaves the old model as it was") {
  const Case c;
  const std::string old = std::string("\2\0\0\0\0\0\0\0", 8) + "{}";
  c.in.write("model.safetensors", old);
  const Result result =
      c.train("text.txt --quiet --steps 50 --rate 1e39 --optimizer sgd --schedule constant --clip 0" + small);
  CHECK(result.refused("rewind: "));
  CHECK(c.in.read("model.safetensors") == old);
}

TEST_CASE("places that cannot be written to are found before training") {
  const Case c;
  std::filesystem::create_directory(c.in.file("folder"));
  for (const char* option : {"--out", "--curve", "--checkpoint"}) {
    CAPTURE(option);
    CHECK(c.train(std::string("text.txt --seconds 600 ") + option + " no/such/file").refused("no/such/file: cannot"));
    CHECK(c.train(std::string("text.txt --seconds 600 ") + option + " folder")
              .refused("folder: cannot write: it is a folder"));
  }
}

TEST_CASE("a full disk: one line, and the old file stays whole") {
  const Case c;
  const std::string quiet = "text.txt --quiet --steps 2" + small;
  CHECK(c.train(quiet + "--out /dev/full").refused("/dev/full: cannot write: No space left on device"));
  REQUIRE(c.train(quiet).code == 0);
  const std::string old = c.in.read("model.safetensors");
  // The shell's limit makes every larger write fail, as a full disk does.
  const Result limited = c.train(quiet + "--seed 7", "ulimit -f 4; ");
  CHECK(limited.refused("cannot write: File too large"));
  CHECK(c.in.read("model.safetensors") == old);
  const Result paused = c.train(quiet + "--checkpoint cp --pause-after 1", "ulimit -f 4; ");
  CHECK(paused.code == 1);
  CHECK(paused.err.find("the run could not be saved: ") != std::string::npos);
  CHECK(paused.err.find("make room: it goes on") != std::string::npos);
  CHECK_FALSE(c.in.has("cp"));
  int files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(c.in.path)) ++files;
  CHECK(files == 5);  // text, model, stdout, stderr, and the run that had /dev/full for its model
}
