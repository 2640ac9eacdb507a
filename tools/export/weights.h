#pragma once

// Internal to tools/export/.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <rewind/tools/export/plan.h>

namespace rw::detail {

/// An array of the struct Weights. `room` is its length there, with zeros beyond the value.
struct Member {
  std::string type, name;
  Index room = 0;
  Array value;
  bool is_parameter = false;  // that is trained

  /// In bytes: a line of cache for what is longer than some of them, so that no vector lies across two.
  std::size_t alignment(DType real) const;
  /// In bytes.
  std::size_t size(DType real) const;
};

/// All that programs read, those of the largest types first, so that there are no gaps. States that begin with other
/// numbers than 0 are among them.
std::vector<Member> members_of_weights(std::span<const Plan> plans, const std::vector<Array>& start);

/// Those of the largest types first.
std::vector<Member> sorted_by_type(std::vector<Member> all);

/// Makes the numbers of a matrix whole ones from -127 to 127, and gives what each row is to be multiplied by. Throws
/// Error, with this name, for numbers that are not finite.
Array round_rows(Array& matrix, const std::string& name);

/// Whether an array has another number than 0.
bool has_numbers(const Array& a);

/// "{1.5f, -2.0f}", in lines.
std::string listed(const Array& a, std::string_view type, DType real);

/// What a file of weights begins with.
inline constexpr std::string_view weights_magic = "RWWEIGHT";

/// The bytes of such a file: in the first 64 the magic, the fingerprint of the layout, the size of what follows and its
/// hash; then Weights.
std::string bytes_of_weights(const std::vector<Member>& members, std::uint64_t fingerprint, DType real);

/// FNV-1a.
std::uint64_t hash_of(std::string_view bytes);

}  // namespace rw::detail
