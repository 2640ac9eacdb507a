#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/models/sequence/pad.h>

namespace rw {
namespace {

/// Throws unless sequence n goes with the first one.
void check_sequence(const Array& first, const Array& x, std::size_t n) {
  if (x.shape().rank() == 0) throw Error(fmt::format("pad_sequences: sequence {} is a number, not [length, ...]", n));
  if (x.dtype() != first.dtype())
    throw Error(fmt::format("pad_sequences: sequence {} is {}, sequence 0 is {}", n, name_of(x.dtype()),
                            name_of(first.dtype())));
  if (x.shape().without(0) != first.shape().without(0))
    throw Error(fmt::format("pad_sequences: the features of sequence {} are {}, of sequence 0 {}: they must be equal",
                            n, x.shape().without(0).str(), first.shape().without(0).str()));
}

}  // namespace

PaddedBatch pad_sequences(std::span<const Array> sequences, Index steps) {
  if (sequences.empty()) throw Error("pad_sequences: there are no sequences");
  const Array& first = sequences[0];
  Index longest = 0;
  for (std::size_t n = 0; n < sequences.size(); ++n) {
    check_sequence(first, sequences[n], n);
    const Index length = sequences[n].shape()[0];
    longest = std::max(longest, length);
    if (steps > 0 && length > steps)
      throw Error(fmt::format("pad_sequences: sequence {} has {} steps, more than {}", n, length, steps));
  }
  const auto count = static_cast<Index>(sequences.size());
  const Shape features = first.shape().without(0);
  PaddedBatch batch{Array(features.inserted(0, count).inserted(0, steps > 0 ? steps : longest), first.dtype()),
                    Array(Shape{count}, DType::i32)};
  const std::size_t bytes = static_cast<std::size_t>(features.size()) * size_of(first.dtype());
  auto* to = static_cast<std::byte*>(batch.values.view().data);
  for (std::size_t n = 0; n < sequences.size(); ++n) {
    const Index length = sequences[n].shape()[0];
    batch.lengths.span<std::int32_t>()[n] = static_cast<std::int32_t>(length);
    const auto* from = static_cast<const std::byte*>(sequences[n].view().data);
    for (std::size_t t = 0; t < static_cast<std::size_t>(length) && bytes > 0; ++t)
      std::memcpy(to + (t * sequences.size() + n) * bytes, from + t * bytes, bytes);
  }
  return batch;
}

}  // namespace rw
