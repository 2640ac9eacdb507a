#include <cmath>
#include <filesystem>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/core/error.h>
#include <rewind/models/bptt/truncated.h>
#include <rewind/models/optim/optimizer.h>
#include <rewind/models/text/char_model.h>
#include <rewind/models/weights/file.h>
#include <rewind/ops/loss.h>

using namespace rw;

namespace {

CharModel small(const CharModelOptions& options = {.layers = 1, .hidden = 4}) {
  Rng rng(1);
  return CharModel(Vocabulary(U"abc"), options, rng);
}

Array numbers(std::initializer_list<std::int32_t> values, const Shape& shape) { return Array(values, shape); }

/// Logits of a text of one stream, read in one piece.
std::vector<float> read(const CharModel& model, const Array& text) {
  Tape tape;
  auto state = model.zero_state(tape, text.shape()[1]);
  return model.logits(tape.constant(text), state).array().to_vector<float>();
}

struct File {
  std::string path = std::filesystem::temp_directory_path() / "rewind_char_model_test.safetensors";
  ~File() { std::filesystem::remove(path); }
};

std::string load_error(const std::string& path) {
  try {
    CharModel::load(path);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("char-rnn's model for 65 characters has 239,297 numbers") {
  std::u32string characters;
  for (char32_t c = 0; c < 65; ++c) characters.push_back(U'0' + c);
  Rng rng(1);
  const CharModel model(Vocabulary(characters), {.layers = 2, .hidden = 128, .init = Init::uniform(0.08)}, rng);
  CHECK(model.parameter_count() == 239'297);
  for (const NamedParameter& p : model.parameters()) {
    float least = 1, most = -1;
    for (float x : p.parameter->value().span<float>()) {
      if (x == 1) continue;  // the forget gate's bias
      least = std::min(least, x);
      most = std::max(most, x);
    }
    CAPTURE(p.name);
    CHECK(least >= -0.08f);
    CHECK(most < 0.08f);
    CHECK(least < -0.05f);
    CHECK(most > 0.05f);
  }
}

TEST_CASE("a text read in pieces gives the logits of the whole, for every cell") {
  for (const char* cell : {"lstm", "gru", "rnn"}) {
    CAPTURE(cell);
    const CharModel model = small({.cell = cell, .layers = 2, .hidden = 5, .embedding = cell[0] == 'g' ? 3 : 0});
    const auto whole = read(model, numbers({0, 1, 2, 2, 1, 0}, {3, 2}));
    Tape tape;
    auto state = model.zero_state(tape, 2);
    std::vector<float> pieces = model.logits(tape.constant(numbers({0, 1}, {1, 2})), state).array().to_vector<float>();
    const auto rest = model.logits(tape.constant(numbers({2, 2, 1, 0}, {2, 2})), state).array().to_vector<float>();
    pieces.insert(pieces.end(), rest.begin(), rest.end());
    REQUIRE(pieces.size() == 18);
    for (std::size_t i = 0; i < whole.size(); ++i) CHECK(pieces[i] == doctest::Approx(whole[i]).epsilon(1e-5));
  }
}

TEST_CASE("cells with options: layers fit each other, and a file brings the model back") {
  const File file;
  for (const char* cell : {"lstm+projection=3+norm+zoneout=0.1/0.2", "gru+nobias+drop-h=0.25", "jordan", "context"}) {
    CAPTURE(cell);
    CharModel model = small({.cell = cell, .layers = 2, .hidden = 4, .embedding = 3});
    model.eval();
    model.save(file.path);
    CharModel loaded = CharModel::load(file.path);
    loaded.eval();
    CHECK(loaded.options().cell == cell);
    const Array x = numbers({0, 1, 2, 2, 1, 0}, {3, 2});
    CHECK(read(loaded, x) == read(model, x));
  }
}

TEST_CASE("a step leaves the state that a text of one character leaves") {
  const CharModel model = small({.layers = 2, .hidden = 4, .embedding = 2});
  Tape tape;
  auto a = model.zero_state(tape, 2);
  model.logits(tape.constant(numbers({1, 2}, {1, 2})), a);
  const auto b = model.step(tape.constant(numbers({1, 2}, {2})), model.zero_state(tape, 2));
  const SavedState x = save_state(a), y = save_state(b);
  REQUIRE(x.size() == 4);
  for (std::size_t i = 0; i < x.size(); ++i)
    for (Index j = 0; j < x[i].size(); ++j)
      CHECK(x[i].span<float>()[static_cast<std::size_t>(j)] ==
            doctest::Approx(y[i].span<float>()[static_cast<std::size_t>(j)]).epsilon(1e-5));
}

TEST_CASE("every parameter gets a gradient, and training learns a sequence by heart") {
  CharModel model = small({.layers = 2, .hidden = 8, .embedding = 3});
  TruncatedBptt<CharModel> bptt(model, 1);
  Adam optimizer(model.parameters(), {.rate = 0.02});
  const Array x = numbers({0, 0, 1, 0, 2, 1, 2, 2}, {8, 1}), y = numbers({0, 1, 0, 2, 1, 2, 2, 0}, {8, 1});
  double first = 0, last = 0;
  for (int i = 0; i < 300; ++i) {
    last = bptt.chunk([&](Tape& tape, CharModel::State state) {
      const Tensor loss = cross_entropy(model.logits(tape.constant(x), state), tape.constant(y));
      backward(loss);
      return std::pair(loss.item(), state);
    });
    if (i == 0) {
      first = last;
      for (const NamedParameter& p : model.parameters()) {
        CAPTURE(p.name);
        bool any = false;
        for (float g : p.parameter->grad().span<float>()) any = any || g != 0;
        CHECK(any);
      }
    }
    optimizer.step();
  }
  CHECK(first == doctest::Approx(std::log(3.0)).epsilon(0.5));
  CHECK(last < 0.05);
}

TEST_CASE("a model goes through a file, and its file says what it is") {
  const File file;
  const CharModel model = small({.cell = "gru", .layers = 2, .hidden = 4, .embedding = 3, .dropout = 0.25});
  model.save(file.path);
  const CharModel loaded = CharModel::load(file.path);
  CHECK(loaded.vocabulary() == model.vocabulary());
  CHECK(loaded.options().cell == "gru");
  CHECK(loaded.options().layers == 2);
  CHECK(loaded.options().embedding == 3);
  CHECK(loaded.options().dropout == 0.25);
  const Array text = numbers({0, 1, 2}, {3, 1});
  CharModel copy = loaded.clone();
  copy.eval();
  CharModel eval = model.clone();
  eval.eval();
  CHECK(read(copy, text) == read(eval, text));
  CHECK(load_arrays(file.path).metadata.at("version") == "1");
}

TEST_CASE("a file that is no model of this version says so") {
  const File file;
  const CharModel model = small();
  save_arrays(file.path, ArrayFile{});
  CHECK(load_error(file.path) == file.path + ": a safetensors file, but not a character model of Rewind");
  Metadata metadata = model.metadata();
  metadata["version"] = "2";
  save_model(file.path, model, metadata);
  CHECK(load_error(file.path) == file.path + ": a character model of version 2; this program reads version 1");
  metadata = model.metadata();
  metadata["hidden"] = "4x";
  save_model(file.path, model, metadata);
  CHECK(load_error(file.path).find("\"hidden\" is \"4x\", no number") != std::string::npos);
  metadata["hidden"] = "0";
  save_model(file.path, model, metadata);
  CHECK(load_error(file.path).find("a broken character model") != std::string::npos);
  metadata.erase("hidden");
  save_model(file.path, model, metadata);
  CHECK(load_error(file.path).find("its header lacks \"hidden\"") != std::string::npos);
  metadata = model.metadata();
  for (const auto& entry : {std::pair("hidden", "5"), std::pair("hidden", "99999999999"),
                            std::pair("layers", "99999999999"), std::pair("embedding", "99999999999")}) {
    const std::string name = entry.first, value = entry.second;
    CAPTURE(name);
    metadata = model.metadata();
    metadata[name] = value;
    save_model(file.path, model, metadata);
    CHECK(load_error(file.path) == file.path + ": a broken character model: its header and its arrays disagree");
  }
  model.save(file.path);
  write_file(file.path, read_file(file.path).substr(0, 300));
  CHECK(load_error(file.path).find(file.path) == 0);
}

TEST_CASE("options that make no sense are refused") {
  CHECK_THROWS_AS(small({.cell = "lstmm"}), Error);
  CHECK_THROWS_AS(small({.layers = 0}), Error);
  CHECK_THROWS_AS(small({.hidden = 0}), Error);
  CHECK_THROWS_AS(small({.embedding = -1}), Error);
  CHECK_THROWS_AS(small({.dropout = 1}), Error);
  Rng rng(1);
  CHECK_THROWS_WITH_AS(CharModel(Vocabulary(), {}, rng), "char_model: the vocabulary is empty", Error);
  const CharModel model = small();
  CHECK_THROWS_AS(read(model, numbers({3}, {1, 1})), Error);
}

TEST_CASE("parameter_count_of: what every cell has, without making it") {
  for (const char* cell :
       {"lstm", "gru", "gru-before", "mgu", "rnn", "jordan", "context", "lstm+peephole", "lstm+norm"})
    for (const Index layers : {1, 3})
      for (const Index embedding : {0, 5}) {
        CAPTURE(cell);
        CAPTURE(layers);
        CAPTURE(embedding);
        const CharModelOptions options{.cell = cell, .layers = layers, .hidden = 40, .embedding = embedding};
        try {
          Rng rng(1);
          const CharModel model(Vocabulary(U"abcdefg"), options, rng);
          CHECK(parameter_count_of(7, options) == static_cast<double>(model.parameter_count()));
        } catch (const Error&) {
          CHECK_THROWS_AS(parameter_count_of(7, options), Error);  // jordan reads no one-hot characters, say
        }
      }
}

TEST_CASE("a small file that claims a large model takes no memory for it") {
  const File file;
  const CharModel model = small();
  struct Claim {
    const char *what, *value, *array;
    Shape shape;
  };
  for (const Claim& claim : {Claim{"hidden", "20000", "cells.layer0.R", {0, 80000}},
                             Claim{"embedding", "100000000", "embedding", {0, 100000000}},
                             Claim{"layers", "500", "cells.layer0.R", {0, 80000}}}) {
    CAPTURE(claim.what);
    Metadata metadata = model.metadata();
    if (std::string(claim.what) == "layers") metadata["hidden"] = "20000";
    metadata[claim.what] = claim.value;
    ArrayFile small_file{.arrays = {{claim.array, Array(claim.shape)}}, .metadata = metadata};
    for (int i = 0; i < 500; ++i) small_file.arrays.push_back({"empty" + std::to_string(i), zeros(0)});
    save_arrays(file.path, small_file);
    CHECK(load_error(file.path) == file.path + ": a broken character model: its header and its arrays disagree");
  }
}
