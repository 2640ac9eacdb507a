#pragma once

// What the tasks on sentences share: words as numbers, and sentences that are never trained on.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <rewind/core/array.h>
#include <rewind/core/error.h>

namespace rw {

/// Numbers for words, in the order in which they are first seen.
class Words {
 public:
  std::int32_t operator[](const std::string& word) {
    return numbers_.emplace(word, static_cast<std::int32_t>(numbers_.size())).first->second;
  }
  Index size() const { return static_cast<Index>(numbers_.size()); }

 private:
  std::map<std::string, std::int32_t> numbers_;
};

using Sentence = std::vector<std::string>;

inline std::string text_of(const Sentence& sentence) {
  std::string text;
  for (const std::string& word : sentence) text += (text.empty() ? "" : " ") + word;
  return text;
}

/// Whether a text belongs to the fifth that is kept for the test: by its FNV-1a hash, so that no list is needed.
inline bool held_out(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return (hash >> 32) % 5 == 0;
}

/// One of several.
template <class T, class R>
const T& one_of(const std::vector<T>& all, R& rng) {
  return all[static_cast<std::size_t>(rng.below(static_cast<Index>(all.size())))];
}

}  // namespace rw
