#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <sys/resource.h>
#include <unistd.h>

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
