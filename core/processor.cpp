#include <algorithm>
#include <cstdio>
#include <fstream>
#include <sched.h>
#include <string_view>
#include <thread>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <cstring>
#endif

#include <rewind/core/processor.h>
#include <rewind/core/shown.h>
#include <rewind/core/vector_loop.h>

namespace rw {
namespace {

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// Linux writes "48K" or "2048K"; 0 where it writes nothing of the kind.
std::size_t bytes_of(const std::string& size) {
  std::size_t value = 0, digits = 0;
  for (; digits < size.size() && digits < 9 && size[digits] >= '0' && size[digits] <= '9'; ++digits)
    value = 10 * value + static_cast<std::size_t>(size[digits] - '0');
  const char unit = digits < size.size() ? size[digits] : 'B';
  return value << (unit == 'K' ? 10 : unit == 'M' ? 20 : 0);
}

// The system's answer, or what its folder of the first core says; `least` and `most` keep nonsense out.
std::size_t cache(int asked, const char* level, std::size_t otherwise) {
  constexpr std::size_t least = std::size_t{4} << 10, most = std::size_t{1} << 30;
  std::size_t bytes = static_cast<std::size_t>(std::max(sysconf(asked), 0L));
  for (int index = 0; bytes == 0 && index < 5; ++index) {
    const std::string folder = "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index) + "/";
    if (first_line(folder + "level") == level && first_line(folder + "type") != "Instruction")
      bytes = bytes_of(first_line(folder + "size"));
  }
  return bytes < least || bytes > most ? otherwise : bytes;
}

// The processor's own name for itself.
std::string make() {
#if defined(__x86_64__)
  unsigned words[12] = {}, signature[4] = {};
  __get_cpuid(1, &signature[0], &signature[1], &signature[2], &signature[3]);
  for (unsigned part = 0; part < 3; ++part) {
    unsigned* const w = words + 4 * std::size_t{part};
    __get_cpuid(0x80000002u + part, &w[0], &w[1], &w[2], &w[3]);
  }
  char text[sizeof words + 1] = {}, number[16];
  std::memcpy(text, words, sizeof words);
  std::snprintf(number, sizeof number, " (%x)", signature[0]);
  std::string name(text);
  name.erase(0, name.find_first_not_of(' '));
  return name + number;
#else
  std::ifstream info("/proc/cpuinfo");
  std::string all;
  for (std::string line; std::getline(info, line) && !line.empty();)
    for (const std::string_view key : {"model name", "CPU implementer", "CPU part", "uarch"})
      if (line.starts_with(key) && line.find(':') != std::string::npos) all += line.substr(line.find(':') + 1);
  return all.empty() ? "unknown processor" : all.substr(1);
#endif
}

int cores() {
  cpu_set_t set;
  const int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;
  return n > 0 ? n : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

Processor look() {
  constexpr const char* sets[] = {"baseline", "avx2", "avx512"};
  Processor p;
  p.cores = cores();
  p.name = shown(make(), 200) + ", " + sets[static_cast<int>(active_isa())] + ", " + std::to_string(p.cores) +
           (p.cores == 1 ? " core" : " cores");
#ifdef _SC_LEVEL1_DCACHE_SIZE
  p.first_cache = cache(_SC_LEVEL1_DCACHE_SIZE, "1", p.first_cache);
  p.second_cache = cache(_SC_LEVEL2_CACHE_SIZE, "2", p.second_cache);
#endif
  return p;
}

}  // namespace

const Processor& this_processor() {
  static const Processor processor = look();
  return processor;
}

}  // namespace rw
