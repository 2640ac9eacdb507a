// Every reader of bytes from outside. The first byte says which; the rest is what it reads. A reader throws Error for
// what it refuses: anything else is a fault. Linked with libFuzzer, or with replay.cpp, which runs files of the corpus.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

#include <CLI/CLI.hpp>

#include <rewind/autograd/program/text.h>
#include <rewind/core/error.h>
#include <rewind/core/shown.h>
#include <rewind/models/text/char_model.h>
#include <rewind/models/text/text.h>
#include <rewind/tools/cli/messages.h>
#include <rewind/tools/cli/numbers.h>
#include <rewind/tools/cli/train_options.h>
#include <rewind/tools/cli/trainer.h>
#include <rewind/tools/export/onnx_model.h>

// AddressSanitizer's, where it is there.
extern "C" {
__attribute__((weak)) int __sanitizer_install_malloc_and_free_hooks(void (*)(const volatile void*, std::size_t),
                                                                    void (*)(const volatile void*));
__attribute__((weak)) std::size_t __sanitizer_get_allocated_size(const volatile void*);
}

namespace {

using namespace rw;

/// The bytes of this thread's heap, and the most that they were.
thread_local std::int64_t heap_now = 0, heap_most = 0;

void count_heap() {
  if (__sanitizer_install_malloc_and_free_hooks == nullptr) return;
  __sanitizer_install_malloc_and_free_hooks(
      [](const volatile void*, std::size_t bytes) {
        heap_now += static_cast<std::int64_t>(bytes);
        heap_most = std::max(heap_most, heap_now);
      },
      [](const volatile void* p) {
        if (p != nullptr) heap_now -= static_cast<std::int64_t>(__sanitizer_get_allocated_size(p));
      });
}

/// A reader takes at most 64 MB and four times what it reads.
void check_heap(std::int64_t before, std::size_t size) {
  const std::int64_t taken = heap_most - before;
  if (taken <= (std::int64_t{64} << 20) + 4 * static_cast<std::int64_t>(size)) return;
  std::fprintf(stderr, "%lld bytes of memory for an input of %zu bytes\n", static_cast<long long>(taken), size);
  std::abort();
}

/// A file in memory with these bytes.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view bytes) : fd_(memfd_create("fuzz", 0)) {
    if (fd_ < 0 || write(fd_, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) std::abort();
  }
  ~MemoryFile() { close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

/// The options of `rewind train`, made once in a thousand inputs: that takes longer than to read with them, but CLI11
/// keeps in which order options came, of all that it ever read.
struct TrainOptions {
  CLI::App app;
  cli::TrainCommand command;

  TrainOptions() {
    cli::add_train_options(*app.add_subcommand("train"), command);
    cli::check_whole_numbers(app);
  }
};

void read_options(std::string_view bytes) {
  std::vector<std::string> words;
  while (!bytes.empty()) {
    const std::size_t end = std::min(bytes.find('\n'), bytes.size());
    words.insert(words.begin(), std::string(bytes.substr(0, end)));  // CLI11 takes them from the back
    bytes.remove_prefix(std::min(end + 1, bytes.size()));
  }
  static std::optional<TrainOptions> options;
  static int uses = 0;
  if (uses++ % 1000 == 0) options.emplace();
  options->command = {};
  try {
    words.push_back("train");
    options->app.parse(words);
  } catch (const CLI::Error&) {
    return;
  }
  cli::complete(options->command);
}

/// What `dump` writes of a text is read again, and is the same program.
void read_program(std::string_view text) {
  const ir::DumpOptions whole{.most_numbers = std::size_t{1} << 22};
  const std::string once = ir::dump(ir::parse(text), whole);
  if (ir::dump(ir::parse(once), whole) != once) std::abort();
}

constexpr unsigned readers = 8;

void read(unsigned which, std::string_view bytes) {
  switch (which % readers) {
    case 0: load_arrays(MemoryFile(bytes).path()); break;
    case 1: CharModel::load(MemoryFile(bytes).path()); break;
    case 2: cli::read_checkpoint(load_arrays(MemoryFile(bytes).path()), "checkpoint"); break;
    case 3: {
      const std::u32string text = decode_utf8(bytes);
      if (bytes.starts_with("\xEF\xBB\xBF")) bytes.remove_prefix(3);  // a byte order mark is no character
      if (encode_utf8(text) != bytes || !is_utf8(bytes)) std::abort();
      break;
    }
    case 4: read_options(bytes); break;
    case 5:
      if (!is_utf8(shown(bytes)) || shown(bytes).size() > 90) std::abort();
      break;
    case 6: load_onnx(MemoryFile(bytes).path()); break;
    case 7: read_program(bytes); break;
  }
}

/// No message has a control character, or goes on without end.
void check(const std::string& message) {
  if (message.size() > 12000) std::abort();
  for (const char c : message)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  [[maybe_unused]] static const bool counted = (count_heap(), true);
  const std::int64_t before = heap_most = heap_now;
  try {
    read(data[0], {reinterpret_cast<const char*>(data) + 1, size - 1});
  } catch (const rw::Error& error) {
    const bool options = data[0] % readers == 4;  // theirs are shown by the command
    check(options ? rw::cli::one_line(error.what()) : error.what());
  }
  check_heap(before, size);
  return 0;
}
