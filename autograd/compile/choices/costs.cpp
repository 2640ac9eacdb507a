#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <optional>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include <rewind/autograd/compile/choices/costs.h>
#include <rewind/core/error.h>
#include <rewind/core/shown.h>
#include <rewind/core/version.h>

namespace rw::ir {
namespace {

// Beyond these a number is no measurement of a computer of our days, but a mistake or a joke.
constexpr std::array<NumberField<Costs>, 11> all_cost_fields{{
    {"product", &Costs::product, 1e-3, 1e3},
    {"multiplication", &Costs::multiplication, 1e-8, 1},
    {"of_one_row", &Costs::of_one_row, 1e-8, 1},
    {"of_f64", &Costs::of_f64, 1e-8, 1},
    {"kernel", &Costs::kernel, 1e-3, 1e3},
    {"element", &Costs::element, 1e-7, 1},
    {"other", &Costs::other, 1e-3, 1e3},
    {"other_element", &Costs::other_element, 1e-7, 1},
    {"hand_over", &Costs::hand_over, 1e-3, 1e5},
    {"from_other", &Costs::from_other, 1e-3, 1e5},
    {"far_byte", &Costs::far_byte, 1e-9, 1},
}};

constexpr std::string_view kind = "rewind-costs ", first_line = "rewind-costs 1";
constexpr std::size_t most_bytes = 4096;

// A regular file of few bytes; nothing else is opened for long.
std::optional<std::string> small_file(const std::string& path, std::string& why) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) {
    why = errno == ENOENT || errno == ENOTDIR ? "" : "it cannot be opened";
    return std::nullopt;
  }
  struct stat info {};
  std::string text(most_bytes + 1, '\0');
  const bool regular = ::fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
  const ssize_t n = regular ? ::read(fd, text.data(), text.size()) : -1;
  ::close(fd);
  if (!regular) why = "it is no regular file";
  if (regular && n < 0) why = "it cannot be read";
  if (n < 0) return std::nullopt;
  text.resize(static_cast<std::size_t>(n));
  return text;
}

std::string_view next_line(std::string_view& text) {
  const std::string_view line = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(line.size() + 1, text.size()));
  return line;
}

}  // namespace

std::span<const NumberField<Costs>> cost_fields() { return all_cost_fields; }

std::string costs_path() {
  const auto from = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  if (std::getenv("REWIND_TUNE_FILE") != nullptr) return from("REWIND_TUNE_FILE");
  // The standard wants an absolute path, and others left alone (XDG Base Directory Specification).
  if (const std::string cache = from("XDG_CACHE_HOME"); cache.starts_with("/")) return cache + "/rewind/tune.txt";
  const std::string home = from("HOME");
  return home.starts_with("/") ? home + "/.cache/rewind/tune.txt" : "";
}

bool is_costs_text(std::string_view text) { return text.starts_with(kind); }

std::string costs_text(Costs costs, const Processor& processor) {
  return fmt::format("{}\nversion {}\nprocessor {}\n{}\nend\n", first_line, version(), processor.name,
                     numbers_text(named(costs, cost_fields())));
}

namespace {

// Why this text is not to be believed here; empty when it is, and `costs` are then those in it.
std::string refuse(std::string_view text, const Processor& processor, Costs& costs) {
  const std::string_view all = text;
  if (text.size() > most_bytes) return "it is too long to be what rewind tune writes";
  if (next_line(text) != first_line) return "it is not what this version of rewind tune writes";
  if (next_line(text) != "version " + std::string(version())) return "another version of Rewind wrote it";
  if (next_line(text) != "processor " + processor.name) return "it was measured on another processor";
  Costs read;
  try {
    read_numbers(next_line(text), named(read, cost_fields()));
  } catch (const Error& e) {
    return e.what();
  }
  if (costs_text(read, processor) != all) return "it was changed, or is not whole";
  costs = read;
  return "";
}

}  // namespace

MachineCosts read_costs(const std::string& path, const Processor& processor) {
  MachineCosts out;
  const std::string builtin = fmt::format("built in, with this processor's caches of {} and {} KB",
                                          processor.first_cache >> 10, processor.second_cache >> 10);
  std::string why;
  const std::optional<std::string> text = path.empty() ? std::nullopt : small_file(path, why);
  if (text.has_value()) {
    why = refuse(*text, processor, out.costs);
    out.measured = why.empty();
  }
  if (out.measured)
    out.from = "measured by rewind tune, from " + shown(path, 300);
  else if (!why.empty())
    out.from = fmt::format("{}: {} is ignored: {}", builtin, shown(path, 300), why);
  else
    out.from = builtin + ": rewind tune has not measured this machine";
  return out;
}

const MachineCosts& machine_costs() {
  static const MachineCosts costs = read_costs(costs_path(), this_processor());
  return costs;
}

}  // namespace rw::ir
