#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rw::ir {

/// A number of a plain struct by its name, and what it may be.
template <class Struct>
struct NumberField {
  std::string_view name;
  double Struct::*number;
  double least, most;
  bool whole = false, keeps_bits = true;
  /// By what plans of one program may differ, if by this at all: by how several threads share their work, or also on
  /// one.
  enum class Decides : std::uint8_t { threads, steps, nothing } decides = Decides::steps;
};

/// A number that has a name, and what it may be.
struct NamedNumber {
  std::string_view name;
  double* number;
  double least, most;
  bool whole;
};
template <class Struct>
std::vector<NamedNumber> named(Struct& values, std::span<const NumberField<Struct>> fields) {
  std::vector<NamedNumber> out;
  for (const NumberField<Struct>& f : fields) out.push_back({f.name, &(values.*f.number), f.least, f.most, f.whole});
  return out;
}

/// "name=number name=number ...", each as short as it can be read back with the same bits.
std::string numbers_text(std::span<const NamedNumber> numbers);

/// Reads such a text: names in any order, each at most once. Throws Error that names what is wrong; some numbers may be
/// new by then.
void read_numbers(std::string_view text, std::span<const NamedNumber> numbers);

}  // namespace rw::ir
