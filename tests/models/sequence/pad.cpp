#include <vector>

#include <doctest/doctest.h>

#include <rewind/core/error.h>
#include <rewind/models/sequence/pad.h>

using namespace rw;

TEST_CASE("sequences of unequal length as a batch") {
  const std::vector<Array> some{Array({1.0, 2.0, 3.0, 4.0}, Shape{2, 2}), Array(Shape{0, 2}, DType::f64),
                                Array({5.0, 6.0}, Shape{1, 2})};
  const PaddedBatch batch = pad_sequences(some);
  CHECK(batch.values == Array({1., 2., 0., 0., 5., 6., 3., 4., 0., 0., 0., 0.}, Shape{2, 3, 2}));
  CHECK(batch.lengths == Array(std::vector<std::int32_t>{2, 0, 1}));
  CHECK(pad_sequences(some, 4).values.shape() == Shape{4, 3, 2});
  const std::vector<Array> words{Array(std::vector<std::int32_t>{7}), Array(std::vector<std::int32_t>{8, 9})};
  CHECK(pad_sequences(words).values == Array({7, 8, 0, 9}, {2, 2}));
}

TEST_CASE("sequences that do not go together are named") {
  const auto pad = [](std::vector<Array> all, Index steps = 0) { return pad_sequences(all, steps); };
  CHECK_THROWS_WITH_AS(pad({zeros(2, 3), zeros(4, 3), zeros(2, 4)}),
                       "pad_sequences: the features of sequence 2 are (4), of sequence 0 (3): they must be equal",
                       Error);
  CHECK_THROWS_WITH_AS(pad({zeros(2, 3), zeros(4)}),
                       "pad_sequences: the features of sequence 1 are (), of sequence 0 (3): they must be equal",
                       Error);
  CHECK_THROWS_WITH_AS(pad({zeros(2, 3), zeros(5, 3)}, 4), "pad_sequences: sequence 1 has 5 steps, more than 4", Error);
  CHECK_THROWS_WITH_AS(pad({zeros(2), Array(std::vector<std::int32_t>{1})}),
                       "pad_sequences: sequence 1 is i32, sequence 0 is f32", Error);
  CHECK_THROWS_WITH_AS(pad({zeros()}), "pad_sequences: sequence 0 is a number, not [length, ...]", Error);
  CHECK_THROWS_WITH_AS(pad({}), "pad_sequences: there are no sequences", Error);
}
