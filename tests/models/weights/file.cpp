#include <atomic>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/core/error.h>
#include <rewind/models/weights/file.h>

#include "../folder.h"

using namespace rw;
using rw::test::Folder;
namespace fs = std::filesystem;

namespace {

std::string message_of(const std::string& path, std::string_view bytes) {
  try {
    write_file(path, bytes);
  } catch (const Error& e) {
    return e.what();
  }
  return "written";
}

}  // namespace

TEST_CASE("a file is written, read, and replaced whole") {
  const Folder folder;
  const std::string path = folder / "f";
  const std::string_view parts[] = {"ab", "", std::string_view("c\0d", 3)};
  write_file(path, parts);
  CHECK(read_file(path) == std::string("abc\0d", 5));
  write_file(path, "new");
  CHECK(read_file(path) == "new");
  CHECK(folder.files() == 1);
  const std::string large(3'000'000, 'x');
  write_file(path, large);
  CHECK(read_file(path) == large);
}

TEST_CASE("a link stays a link, and its target is replaced") {
  const Folder folder;
  write_file(folder / "target", "old");
  fs::create_symlink(folder / "target", folder / "link");
  write_file(folder / "link", "new");
  CHECK(fs::is_symlink(folder / "link"));
  CHECK(read_file(folder / "target") == "new");
}

TEST_CASE("what cannot be written names the path and the reason") {
  const Folder folder;
  const std::string nowhere = folder / "no/such/folder";
  CHECK(message_of(nowhere, "x") == nowhere + ": cannot create a file in its folder: No such file or directory");
  CHECK(message_of(folder.path(), "x") == folder.path() + ": cannot write: it is a folder");
  CHECK(message_of("/dev/full", "x") == "/dev/full: cannot write: No space left on device");
  CHECK_FALSE(fs::is_regular_file("/dev/full"));
  CHECK(message_of("/dev/null", "x") == "written");
  CHECK_THROWS_WITH_AS(read_file(nowhere), (nowhere + ": cannot open: No such file or directory").c_str(), Error);
  CHECK_THROWS_WITH_AS(read_file(folder.path()), (folder.path() + ": cannot read: Is a directory").c_str(), Error);
}

TEST_CASE("when the disk is full the old file stays whole and no other is left") {
  const Folder folder;
  const std::string path = folder / "f";
  write_file(path, "old");
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small{1000, before.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ::setrlimit(RLIMIT_FSIZE, &small);
  const std::string message = message_of(path, std::string(5000, 'x'));
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  CHECK(message == path + ": cannot write: File too large");
  CHECK(read_file(path) == "old");
  CHECK(folder.files() == 1);
}

TEST_CASE("a link to a file that is not there yet: that file is made") {
  const Folder folder;
  fs::create_symlink("later", folder / "link");
  write_file(folder / "link", "new");
  CHECK(fs::is_symlink(folder / "link"));
  CHECK(read_file(folder / "later") == "new");
  fs::create_symlink("round", folder / "round");
  CHECK(message_of(folder / "round", "x").find(": cannot write: Too many levels of symbolic links") !=
        std::string::npos);
}

TEST_CASE("a file that is replaced keeps its permissions, and a new one has those of the process's mask") {
  const Folder folder;
  const auto mode = [&](const char* name) { return static_cast<unsigned>(fs::status(folder / name).permissions()); };
  const mode_t before = ::umask(027);
  write_file(folder / "new", "x");
  ::umask(before);
  CHECK(mode("new") == 0640);
  for (const unsigned secret : {0600u, 0444u, 0660u}) {
    fs::permissions(folder / "new", static_cast<fs::perms>(secret));
    write_file(folder / "new", "y");
    CHECK(mode("new") == secret);
  }
}

TEST_CASE("what killed writers left is removed by the next, and what a living one writes is not") {
  const Folder folder;
  const std::string left = folder / ".rewind-0123456789abcdef.tmp", held = folder / ".rewind-fedcba9876543210.tmp";
  for (const std::string& path : {left, held, folder / ".rewind-notes.tmp"}) std::ofstream(path) << "part";
  const int fd = ::open(held.c_str(), O_WRONLY);
  REQUIRE(::flock(fd, LOCK_EX) == 0);
  write_file(folder / "f", "x");
  CHECK_FALSE(fs::exists(left));
  CHECK(fs::exists(held));
  CHECK(fs::exists(folder / ".rewind-notes.tmp"));
  ::close(fd);
  check_writable(folder / "f");
  CHECK_FALSE(fs::exists(held));
  CHECK(folder.files() == 2);
}

TEST_CASE("many threads and processes that write one file: each succeeds, and it is whole") {
  const Folder folder;
  const std::string path = folder / "f";
  constexpr int children = 2, threads = 4, times = 15;
  std::vector<pid_t> pids;
  for (int child = 0; child < children; ++child) {
    pids.push_back(::fork());
    if (pids.back() != 0) continue;
    int failed = 0;
    try {
      for (int i = 0; i < times; ++i) write_file(path, std::string(5000, static_cast<char>('a' + child)));
    } catch (const Error&) {
      failed = 1;
    }
    ::_exit(failed);
  }
  std::atomic<int> failed{0};
  std::vector<std::thread> writers;
  for (int t = 0; t < threads; ++t)
    writers.emplace_back([&, t] {
      try {
        for (int i = 0; i < times; ++i) write_file(path, std::string(5000, static_cast<char>('A' + t)));
      } catch (const Error&) {
        ++failed;
      }
    });
  for (std::thread& writer : writers) writer.join();
  for (const pid_t pid : pids) {
    int status = 0;
    ::waitpid(pid, &status, 0);
    failed += status != 0;
  }
  CHECK(failed == 0);
  const std::string bytes = read_file(path);
  CHECK(bytes == std::string(5000, bytes[0]));
  CHECK(folder.files() == 1);
}

TEST_CASE("a file without an end is given up, and one that is larger than allowed") {
  CHECK_THROWS_WITH_AS(read_file("/dev/zero", 1000000), "/dev/zero: cannot read: it has more than 1000000 bytes",
                       Error);
  const Folder folder;
  write_file(folder / "f", "12345");
  CHECK(read_file(folder / "f", 5) == "12345");
  CHECK_THROWS_AS(read_file(folder / "f", 4), Error);
}

TEST_CASE("same_file: by links, by other ways to write a path, and for files to come") {
  const Folder folder;
  write_file(folder / "a", "x");
  fs::create_hard_link(folder / "a", folder / "hard");
  fs::create_symlink("a", folder / "soft");
  for (const char* name : {"a", "./a", "hard", "soft"}) CHECK(same_file(folder / "a", folder / name));
  CHECK_FALSE(same_file(folder / "a", folder / "b"));
  CHECK(same_file(folder / "b", folder / "./b"));
  CHECK(same_file("not/there", "./not/there"));
  CHECK_FALSE(same_file("", "b"));
}
