#include <string>

#include <doctest/doctest.h>

#include <rewind/models/text/char_model.h>
#include <rewind/models/weights/file.h>

#include "run.h"

namespace {

/// A folder with a model that nobody trained.
struct Case {
  Scratch in;

  Case() {
    rw::Rng rng(1);
    rw::CharModel(rw::Vocabulary(U"\n abcdé"), {.layers = 1, .hidden = 8}, rng).save(in.file("m"));
  }
  Result sample(const std::string& arguments) const { return run_rewind(in, "sample " + arguments); }
};

}  // namespace

TEST_CASE("rewind sample writes prompt, length characters and a line break, the same for the same seed") {
  const Case c;
  const Result result = c.sample("m --prompt 'é ab' --length 30 --seed 5");
  CHECK(result.code == 0);
  CHECK(result.err.empty());
  const std::u32string text = rw::decode_utf8(result.out);
  CHECK(text.substr(0, 4) == U"é ab");
  CHECK(text.size() == 4 + 30 + 1);
  CHECK(text.back() == U'\n');
  CHECK(c.sample("m --prompt 'é ab' --length 30 --seed 5").out == result.out);
  CHECK(c.sample("m --prompt 'é ab' --length 30 --seed 6").out != result.out);
  CHECK(c.sample("m --greedy --length 20").out == c.sample("m --temperature 0 --length 20 --seed 9").out);
  CHECK(c.sample("m --top-k 1 --length 20").out == c.sample("m --greedy --length 20").out);
  CHECK(c.sample("m --length 0").out == "\n");
  CHECK(c.sample("m --prompt 'é ab' --length 30 --seed 5 --eager").out == result.out);
}

TEST_CASE("rewind sample searches, chooses from the nucleus, and stops") {
  const Case c;
  CHECK(c.sample("m --beam 1 --length 20").out == c.sample("m --greedy --length 20").out);
  CHECK(rw::decode_utf8(c.sample("m --prompt ab --beam 4 --length 20").out).size() == 2 + 20 + 1);
  CHECK(c.sample("m --top-p 1e-9 --length 20").out == c.sample("m --greedy --length 20").out);
  CHECK(c.sample("m --top-p 0.5 --length 20 --seed 3").code == 0);
  for (const char* how : {"--seed 4", "--beam 3 --length-penalty 0.6"}) {
    const std::u32string text = rw::decode_utf8(c.sample("m --prompt b --stop é --length 400 " + std::string(how)).out);
    const std::size_t end = text.find(U'é');
    CHECK((end == std::u32string::npos ? text.size() == 402 : end == text.size() - 2));
  }
}

TEST_CASE("a prompt with characters that the model never saw") {
  const Case c;
  CHECK(c.sample("m --prompt 'abXÿ'").refused("prompt: the vocabulary of 7 characters lacks 'X', 'ÿ'"));
  CHECK(c.sample("m --prompt \"$(printf 'a\\377')\"").refused("prompt: invalid UTF-8 at byte offset 1"));
}

TEST_CASE("files that are no model, or not whole") {
  const Case c;
  const std::string good = c.in.read("m");
  CHECK(c.sample("none").refused("none: cannot open: No such file or directory"));
  CHECK(c.sample(".").refused("."));
  for (const std::size_t length : {std::size_t{0}, std::size_t{4}, std::size_t{8}, std::size_t{100}, good.size() - 1}) {
    CAPTURE(length);
    c.in.write("cut", good.substr(0, length));
    CHECK(c.sample("cut").refused("cut: "));
  }
  c.in.write("text", "int main() { return 0; }\n");
  CHECK(c.sample("text").refused("text: "));
  c.in.write("huge", std::string(8, '\xff') + good.substr(8));
  CHECK(c.sample("huge").refused("huge: "));
  c.in.write("more", good + "x");
  CHECK(c.sample("more").refused("more: "));
  rw::save_arrays(c.in.file("other"), rw::ArrayFile{});
  CHECK(c.sample("other").refused("other: a safetensors file, but not a character model of Rewind"));
  rw::ArrayFile newer = rw::load_arrays(c.in.file("m"));
  newer.metadata["version"] = "9";
  rw::save_arrays(c.in.file("newer"), newer);
  CHECK(c.sample("newer").refused("newer: a character model of version 9; this program reads version 1"));
}

TEST_CASE("options of rewind sample that make no sense") {
  const Case c;
  CHECK(c.sample("").refused("MODEL"));
  CHECK(c.sample("m --temperature nan").refused("the temperature is nan"));
  CHECK(c.sample("m --temperature -1").refused("the temperature is -1"));
  CHECK(c.sample("m --top-k -1").refused("top-k is -1"));
  CHECK(c.sample("m --top-p 0").refused("top-p is 0: it must be above 0 and at most 1"));
  CHECK(c.sample("m --beam 0").refused("--beam is 0: it must be at least 1"));
  CHECK(c.sample("m --beam 1000000000").refused("--beam is 1000000000: it must be at most 10000"));
  CHECK(c.sample("m --length 99999999999999999999").refused("--length: 99999999999999999999 is too large"));
  CHECK(c.sample("m --length 010 --seed -1").refused("--seed: -1 is not a whole number of 0 or more"));
  CHECK(c.sample("m --length 0x10").refused("--length: 0x10 is not a whole number"));
  CHECK(c.sample("m --length 1e3").refused("--length: 1e3 is not a whole number"));
  CHECK(c.sample("m --beam 2 --length-penalty -1").refused("the length penalty is -1"));
  CHECK(c.sample("m --beam 2 --top-p 0.5").refused("--top-p excludes --beam"));
  CHECK(c.sample("m --stop ab").refused("--stop has 2 characters: it must be one"));
  CHECK(c.sample("m --stop X").refused("--stop: the vocabulary of 7 characters lacks 'X'"));
  CHECK(c.sample("m --length -1").refused("--length is -1"));
  CHECK(c.sample("m >/dev/full").code == 1);
}
