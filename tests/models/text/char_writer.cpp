#include <doctest/doctest.h>

#include <rewind/core/error.h>
#include <rewind/models/text/char_writer.h>

using namespace rw;

namespace {

CharModel some_model(std::u32string characters) {
  Rng rng(4);
  CharModel model(Vocabulary(std::move(characters)), {.layers = 2, .hidden = 8}, rng);
  model.eval();
  return model;
}

std::u32string write(const CharModel& model, std::u32string_view prompt, std::uint64_t seed,
                     SamplerOptions options = {}) {
  CharWriter writer(model, options, seed);
  writer.read(prompt);
  std::u32string out;
  for (int i = 0; i < 40; ++i) out.push_back(writer.next());
  return out;
}

}  // namespace

TEST_CASE("the same seed writes the same text, another seed another") {
  const CharModel model = some_model(U"\nabcdé");
  const std::u32string text = write(model, U"ab", 1);
  CHECK(write(model, U"ab", 1) == text);
  CHECK(write(model, U"ab", 2) != text);
  CHECK(write(model, U"", 1).size() == 40);
}

TEST_CASE("compiled or op by op, the same text is written; weights that change are seen") {
  const CharModel model = some_model(U"\nabcdé");
  CharWriter compiled(model, {.temperature = 0.7}, 3), eager(model, {.temperature = 0.7}, 3, true);
  for (int i = 0; i < 60; ++i) CHECK(compiled.next() == eager.next());
  for (const NamedParameter& p : model.parameters()) {
    const View w = p.parameter->edit();
    for (Index i = 0; i < w.size(); ++i) w.as<float>()[i] *= -2;
  }
  for (int i = 0; i < 60; ++i) CHECK(compiled.next() == eager.next());
}

TEST_CASE("what is written is read: a prompt in pieces, or written, leads to the same text") {
  const CharModel model = some_model(U"\nabcd");
  CharWriter greedy(model, {.greedy = true}, 1);
  std::u32string text;
  for (int i = 0; i < 10; ++i) text.push_back(greedy.next());
  CharWriter again(model, {.greedy = true}, 1);
  again.read(U"\n");
  again.read(text.substr(0, 3));
  again.read(text.substr(3, 4));
  for (std::size_t i = 7; i < 10; ++i) CHECK(again.next() == text[i]);
}

TEST_CASE("a long prompt is read in parts") {
  const CharModel model = some_model(U"abcd");
  const std::u32string prompt(1000, U'b');
  CharWriter whole(model, {.greedy = true}, 1), single(model, {.greedy = true}, 1);
  whole.read(prompt);
  for (char32_t c : prompt) single.read({&c, 1});
  for (int i = 0; i < 5; ++i) CHECK(whole.next() == single.next());
}

TEST_CASE("characters that the model never saw are listed, and the writer goes on") {
  const CharModel model = some_model(U"abcd");
  CharWriter writer(model, {.greedy = true}, 1), other(model, {.greedy = true}, 1);
  writer.read(U"ab");
  other.read(U"ab");
  CHECK_THROWS_WITH_AS(writer.read(U"aXé"), "prompt: the vocabulary of 4 characters lacks 'X', 'é'", Error);
  CHECK(writer.next() == other.next());
  CHECK_THROWS_AS(CharWriter(model, {.temperature = -1}, 1), Error);
}

TEST_CASE("the best text is greedy for a beam of 1, and the writer goes on from it") {
  const CharModel model = some_model(U"\nabcd");
  CharWriter greedy(model, {.greedy = true}, 1), beam(model, {.greedy = true}, 1);
  greedy.read(U"ab");
  beam.read(U"ab");
  std::u32string text;
  for (int i = 0; i < 10; ++i) text.push_back(greedy.next());
  CHECK(beam.write_best({.width = 1, .length = 10}) == text);
  CHECK(beam.next() == greedy.next());
  CHECK(CharWriter(model, {}, 1).write_best({.width = 3, .length = 5}).size() == 5);
  CHECK_THROWS_AS(beam.write_best({.width = 0}), Error);
}
