#pragma once

// Internal to models/cells/: use make_cell.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <rewind/core/error.h>
#include <rewind/core/shape.h>

namespace rw::detail {

/// The name of a cell with options, "lstm+norm+projection=8+zoneout=0.1/0.5", taken apart. The text must outlive it.
class CellChoices {
 public:
  explicit CellChoices(std::string_view text);

  std::string_view name() const { return parts_[0]; }

  /// Whether "+option" is there.
  bool has(std::string_view option) const;
  /// The numbers of "+option=1/2"; none when it is not there. Throws Error for what is no number.
  std::vector<double> numbers(std::string_view option) const;
  /// The number of "+option=1"; 0 when it is not there. Throws Error for several.
  double number(std::string_view option) const;
  /// The same, a whole number.
  Index count(std::string_view option) const;

  /// Throws Error unless every option is in one of these lists, where "zoneout=" stands for one with numbers, and is
  /// there once.
  void check(std::span<const std::string_view> own, std::span<const std::string_view> common) const;

 private:
  Error error(const std::string& reason) const;
  double parsed(std::string_view number) const;

  std::string_view text_;
  std::vector<std::string_view> parts_;  // the name, then the options
};

/// "a, b, c".
std::string listed(std::span<const std::string_view> names);

}  // namespace rw::detail
