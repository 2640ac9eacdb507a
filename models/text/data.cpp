#include <algorithm>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/models/text/data.h>

namespace rw {

TextData::TextData(std::vector<std::int32_t> symbols, const TextCut& cut) : symbols_(std::move(symbols)), cut_(cut) {
  if (cut.batch < 1 || cut.sequence < 1)
    throw Error(fmt::format("batch {} x sequence {}: both must be at least 1", cut.batch, cut.sequence));
  if (!(cut.held_out >= 0 && cut.held_out < 1))
    throw Error(fmt::format("the held-out part is {}: it must be at least 0 and below 1", cut.held_out));
  const auto length = static_cast<Index>(symbols_.size());
  const Index least = cut.held_out > 0 ? 2 : 1;
  // Quotients one after the other: the product of batch and sequence could overflow.
  chunks_ = length < 1 ? 0 : (length - 1) / cut.batch / cut.sequence;
  if (chunks_ < least)
    throw Error(fmt::format(
        "the text has {} characters, too few for {} of batch {} x sequence {}: it takes {}; give a "
        "longer text, or a smaller batch or sequence",
        length, least == 2 ? "a chunk to train and one to hold out" : "one chunk", cut.batch, cut.sequence,
        static_cast<double>(least) * static_cast<double>(cut.batch) * static_cast<double>(cut.sequence) + 1));
  train_ = static_cast<Index>(static_cast<double>(chunks_) * (1 - cut.held_out));
  train_ = std::clamp<Index>(train_, 1, cut.held_out > 0 ? chunks_ - 1 : chunks_);
}

std::span<const std::int32_t> TextData::stream(Index n, Index from, Index to) const {
  if (n < 0 || n >= cut_.batch || from < 0 || to < from || to > chunks_)
    throw Error(fmt::format("stream {}, chunks {} to {}: the text has {} streams of {} chunks", n, from, to, cut_.batch,
                            chunks_));
  const Index start = (n * chunks_ + from) * cut_.sequence;
  return std::span(symbols_).subspan(static_cast<std::size_t>(start),
                                     static_cast<std::size_t>((to - from) * cut_.sequence + 1));
}

TextData::Chunk TextData::chunk(Index c, Index first, Index count) const {
  if (count < 1 || first < 0 || first + count > cut_.batch)
    throw Error(fmt::format("streams {} to {}: the text has {}", first, first + count - 1, cut_.batch));
  const Shape shape{cut_.sequence, count};
  Chunk out{Array(shape, DType::i32), Array(shape, DType::i32)};
  const auto inputs = out.inputs.span<std::int32_t>(), targets = out.targets.span<std::int32_t>();
  for (Index n = 0; n < count; ++n) {
    const auto text = stream(first + n, c, c + 1);
    for (Index t = 0; t < cut_.sequence; ++t) {
      const auto at = static_cast<std::size_t>(t * count + n), from = static_cast<std::size_t>(t);
      inputs[at] = text[from];
      targets[at] = text[from + 1];
    }
  }
  return out;
}

}  // namespace rw
