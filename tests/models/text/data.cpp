#include <numeric>

#include <doctest/doctest.h>

#include <rewind/core/error.h>
#include <rewind/models/text/data.h>

using namespace rw;

namespace {

std::vector<std::int32_t> counting(std::size_t n) {
  std::vector<std::int32_t> out(n);
  std::iota(out.begin(), out.end(), 0);
  return out;
}

}  // namespace

TEST_CASE("streams, chunks and targets") {
  // 2 streams x 3 steps: (20 - 1) / 6 = 3 chunks, so that stream 1 begins at 9.
  const TextData data(counting(20), {.batch = 2, .sequence = 3, .held_out = 0.3});
  CHECK(data.chunks() == 3);
  CHECK(data.train_chunks() == 2);
  CHECK(data.held_out_chunks() == 1);
  CHECK(data.chunk_size() == 6);
  const TextData::Chunk first = data.chunk(0), last = data.chunk(2);
  CHECK(first.inputs == Array({0, 9, 1, 10, 2, 11}, Shape{3, 2}));
  CHECK(first.targets == Array({1, 10, 2, 11, 3, 12}, Shape{3, 2}));
  CHECK(last.inputs == Array({6, 15, 7, 16, 8, 17}, Shape{3, 2}));
  CHECK(last.targets == Array({7, 16, 8, 17, 9, 18}, Shape{3, 2}));
  CHECK(data.chunk(1, 1, 1).inputs == Array({12, 13, 14}, Shape{3, 1}));
  const auto stream = data.stream(1, 1, 3);
  CHECK(std::vector<std::int32_t>(stream.begin(), stream.end()) ==
        std::vector<std::int32_t>{12, 13, 14, 15, 16, 17, 18});
}

TEST_CASE("tiny Shakespeare is cut as char-rnn cuts it") {
  const TextData data(std::vector<std::int32_t>(1'115'394), {.batch = 50, .sequence = 50, .held_out = 0.05});
  CHECK(data.chunks() == 446);
  CHECK(data.train_chunks() == 423);
  CHECK(data.held_out_chunks() == 23);
}

TEST_CASE("one chunk at least trains, and one is held out unless none should be") {
  CHECK(TextData(counting(13), {.batch = 2, .sequence = 3, .held_out = 0.01}).train_chunks() == 1);
  CHECK(TextData(counting(13), {.batch = 2, .sequence = 3, .held_out = 0.99}).train_chunks() == 1);
  const TextData all(counting(7), {.batch = 2, .sequence = 3, .held_out = 0});
  CHECK(all.train_chunks() == 1);
  CHECK(all.held_out_chunks() == 0);
}

TEST_CASE("a text that is too short says how long it must be") {
  CHECK_THROWS_WITH_AS(
      TextData(counting(12), {.batch = 2, .sequence = 3, .held_out = 0.1}),
      "the text has 12 characters, too few for a chunk to train and one to hold out of batch 2 x sequence "
      "3: it takes 13; give a longer text, or a smaller batch or sequence",
      Error);
  CHECK_THROWS_AS(TextData(counting(6), {.batch = 2, .sequence = 3, .held_out = 0}), Error);
  CHECK_THROWS_AS(TextData({}, {}), Error);
  CHECK_THROWS_AS(TextData(counting(100), {.batch = Index{1} << 40, .sequence = Index{1} << 40}), Error);
}

TEST_CASE("a cut that makes no sense is refused") {
  CHECK_THROWS_WITH_AS(TextData(counting(100), {.batch = 0, .sequence = 3}),
                       "batch 0 x sequence 3: both must be at least 1", Error);
  CHECK_THROWS_AS(TextData(counting(100), {.batch = 1, .sequence = -1}), Error);
  for (const double part : {-0.1, 1.0, std::numeric_limits<double>::quiet_NaN()})
    CHECK_THROWS_AS(TextData(counting(100), {.batch = 1, .sequence = 1, .held_out = part}), Error);
  const TextData data(counting(20), {.batch = 2, .sequence = 3});
  CHECK_THROWS_AS(data.chunk(3), Error);
  CHECK_THROWS_AS(data.chunk(-1), Error);
  CHECK_THROWS_AS(data.chunk(0, 1, 2), Error);
}
