#pragma once

// Internal to tools/export/.

#include <map>
#include <span>
#include <string>
#include <vector>

#include <rewind/tools/export/sized_program.h>

namespace rw::detail {

/// The same length for a batch of one.
Length of_one_sequence(Length l);
Lengths of_one_sequence(Lengths lengths);

/// As C++: "3", "n", "(2 * n + 1)".
std::string text_of(const Length& l);

/// The product of lengths as C++; "1" of none.
std::string product_text(std::span<const Length> lengths);

/// The position of an element as C++, from its position along each axis: empty ones are 0.
std::string position_text(const std::vector<std::string>& along, const Lengths& shape);

/// A sum of sizes as C++, those with the same lengths together.
class SizeSum {
 public:
  void add(std::span<const Length> size);
  std::string text() const;

 private:
  std::map<std::string, Index> terms_;  // factors, by the lengths that are no numbers
};

}  // namespace rw::detail
