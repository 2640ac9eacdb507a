#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <filesystem>
#include <memory>
#include <random>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/core/memory.h>
#include <rewind/models/weights/file.h>

namespace rw {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& path, const char* what, int error) {
  throw Error(path + ": " + what + ": " + std::strerror(error));
}

template <class Call>
auto again_if_interrupted(Call call) {
  decltype(call()) result;
  do result = call();
  while (result < 0 && errno == EINTR);
  return result;
}

// A file descriptor that is closed when something throws.
class OpenFile {
 public:
  OpenFile() = default;
  OpenFile(const std::string& path, int flags, mode_t mode = 0666)
      : fd_(again_if_interrupted([&] { return ::open(path.c_str(), flags | O_CLOEXEC, mode); })) {}
  ~OpenFile() {
    if (fd_ >= 0) ::close(fd_);
  }
  OpenFile(OpenFile&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  OpenFile& operator=(OpenFile&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }

  bool is_open() const { return fd_ >= 0; }
  int fd() const { return fd_; }

 private:
  int fd_ = -1;
};

void write_parts(int fd, const std::string& path, std::span<const std::string_view> parts) {
  for (std::string_view part : parts) {
    while (!part.empty()) {
      const std::size_t size = std::min<std::size_t>(part.size(), std::size_t{1} << 30);
      const ssize_t n = again_if_interrupted([&] { return ::write(fd, part.data(), size); });
      if (n < 0) fail(path, "cannot write", errno);
      if (n == 0) fail(path, "cannot write", ENOSPC);
      part.remove_prefix(static_cast<std::size_t>(n));
    }
  }
}

constexpr std::string_view temporary_begin = ".rewind-", temporary_end = ".tmp";

std::string folder_of(const std::string& path) {
  const std::string folder = fs::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

// A file with a name of its own, locked for as long as it is open: by that others know that its writer lives. Removed
// when it was not renamed.
class TemporaryFile {
 public:
  TemporaryFile(const std::string& folder, const std::string& for_path, mode_t mode) {
    std::random_device random;
    for (int tries = 0; tries < 100; ++tries) {
      path_ = fmt::format("{}/{}{:08x}{:08x}{}", folder, temporary_begin, random(), random(), temporary_end);
      file_ = OpenFile(path_, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
      if (!file_.is_open() && errno == EEXIST) continue;
      if (!file_.is_open()) fail(for_path, "cannot create a file in its folder", errno);
      named_ = true;
      again_if_interrupted([&] { return ::flock(file_.fd(), LOCK_EX); });
      struct stat info {};
      if (::fstat(file_.fd(), &info) == 0 && info.st_nlink > 0) return;
      named_ = false;  // somebody took it for a leftover in the moment before it was locked
    }
    throw Error(for_path + ": cannot create a file in its folder: others remove it");
  }
  ~TemporaryFile() {
    if (named_) ::unlink(path_.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  int fd() const { return file_.fd(); }

  // Whoever may read the old file may read the new one, and nobody else.
  void take_permissions(const struct stat& old, const std::string& for_path) {
    struct stat own {};
    if (::fstat(fd(), &own) != 0) fail(for_path, "cannot look at a new file", errno);
    mode_t mode = old.st_mode & 0777;
    constexpr auto keep_user = static_cast<uid_t>(-1);
    constexpr auto keep_group = static_cast<gid_t>(-1);
    if (own.st_gid != old.st_gid && ::fchown(fd(), keep_user, old.st_gid) != 0) mode &= 0707;
    if (own.st_uid != old.st_uid && ::fchown(fd(), old.st_uid, keep_group) != 0) errno = 0;  // it is ours then
    if (again_if_interrupted([&] { return ::fchmod(fd(), mode); }) != 0)
      fail(for_path, "cannot set the permissions", errno);
  }

  void rename_to(const std::string& target, const std::string& for_path) {
    if (again_if_interrupted([&] { return ::rename(path_.c_str(), target.c_str()); }) != 0)
      fail(for_path, "cannot replace", errno);
    named_ = false;
  }

 private:
  std::string path_;
  OpenFile file_;
  bool named_ = false;
};

void remove_if_left(const std::string& path) {
  const OpenFile file(path, O_RDONLY | O_NOFOLLOW);
  if (file.is_open() && ::flock(file.fd(), LOCK_EX | LOCK_NB) == 0) ::unlink(path.c_str());
}

bool is_temporary(std::string_view name) {
  return name.size() == temporary_begin.size() + 16 + temporary_end.size() && name.starts_with(temporary_begin) &&
         name.ends_with(temporary_end);
}

// (An iterator of the standard library ends the process when it finds no memory.)
void remove_leftovers(const std::string& folder) {
  const std::unique_ptr<DIR, int (*)(DIR*)> all(::opendir(folder.c_str()), ::closedir);
  if (all == nullptr) return;
  while (const dirent* const one = ::readdir(all.get()))
    if (is_temporary(one->d_name)) remove_if_left(folder + "/" + one->d_name);
}

// A file system that cannot sync a folder says EINVAL; the rename has happened all the same.
void sync_folder(const OpenFile& folder, const std::string& path) {
  if (!folder.is_open()) return;
  const int done = again_if_interrupted([&] { return ::fsync(folder.fd()); });
  if (done != 0 && errno != EINVAL && errno != ENOTSUP) fail(path, "cannot flush the folder", errno);
}

void replace(const std::string& path, const std::string& target, std::span<const std::string_view> parts) {
  struct stat old {};
  const bool replaces = ::stat(target.c_str(), &old) == 0;
  TemporaryFile file(folder_of(target), path, replaces ? 0600 : 0666);
  if (replaces) file.take_permissions(old, path);
  write_parts(file.fd(), path, parts);
  if (again_if_interrupted([&] { return ::fsync(file.fd()); }) != 0) fail(path, "cannot flush", errno);
  const OpenFile folder(folder_of(target), O_RDONLY | O_DIRECTORY);
  file.rename_to(target, path);  // from here on nothing is allocated: the new file is there
  sync_folder(folder, path);
}

// Where a path leads through symbolic links, also to a file that is not there yet.
std::string target_of(const std::string& path) {
  std::error_code none;
  fs::path at = path;
  for (int links = 0; fs::is_symlink(fs::symlink_status(at, none)); ++links) {
    if (links == 40) fail(path, "cannot write", ELOOP);
    const fs::path to = fs::read_symlink(at, none);
    if (none) fail(path, "cannot read the link", none.value());
    at = to.is_absolute() ? to : at.parent_path() / to;
  }
  return at.string();
}

// Whether `path` is, or will be, a regular file. Throws Error for what cannot be written at all.
bool is_regular(const std::string& path) {
  struct stat info {};
  if (path.empty()) throw Error("cannot write a file without a name");
  if (path.find('\0') != std::string::npos) throw Error(path.substr(0, path.find('\0')) + ": a path holds no NUL");
  if (::stat(path.c_str(), &info) != 0) {
    if (errno == ENOENT || errno == EACCES) return true;
    fail(path, errno == ENOTDIR ? "cannot create a file in its folder" : "cannot write", errno);
  }
  if (S_ISDIR(info.st_mode)) throw Error(path + ": cannot write: it is a folder");
  return S_ISREG(info.st_mode);
}

}  // namespace

void write_file(const std::string& path, std::span<const std::string_view> parts) {
  if (!is_regular(path)) {
    const OpenFile file(path, O_WRONLY);
    if (!file.is_open()) fail(path, "cannot open", errno);
    return write_parts(file.fd(), path, parts);
  }
  const std::string target = target_of(path);
  remove_leftovers(folder_of(target));
  replace(path, target, parts);
}

void check_writable(const std::string& path) {
  if (!is_regular(path)) return;  // a device is opened when it is written
  const std::string target = target_of(path);
  remove_leftovers(folder_of(target));
  const TemporaryFile file(folder_of(target), path, 0600);
}

std::string read_file(const std::string& path, std::uint64_t most) {
  constexpr std::uint64_t most_of_stream = 256 << 20;  // a device may have no end
  if (most == 0) most = detail::memory_of_machine() / 2;
  const OpenFile file(path, O_RDONLY);
  if (!file.is_open()) fail(path, "cannot open", errno);
  struct stat info {};
  if (::fstat(file.fd(), &info) != 0) fail(path, "cannot read", errno);
  const auto check = [&](std::uint64_t size) {
    if (size > most) throw Error(fmt::format("{}: cannot read: it has more than {} bytes", path, most));
  };
  const bool regular = S_ISREG(info.st_mode);
  if (regular)
    check(static_cast<std::uint64_t>(info.st_size));
  else
    most = std::min(most, most_of_stream);
  std::string bytes(regular ? static_cast<std::size_t>(info.st_size) : 0, '\0');
  std::size_t size = 0;
  std::array<char, 65536> more;  // the end is where read says so
  for (;;) {
    const bool room = size < bytes.size();
    char* const to = room ? bytes.data() + size : more.data();
    const std::size_t wanted = room ? std::min(bytes.size() - size, std::size_t{1} << 30) : more.size();
    const ssize_t n = again_if_interrupted([&] { return ::read(file.fd(), to, wanted); });
    if (n < 0) fail(path, "cannot read", errno);
    if (n == 0) break;
    size += static_cast<std::size_t>(n);
    check(size);
    if (!room) bytes.append(more.data(), static_cast<std::size_t>(n));
  }
  bytes.resize(size);
  return bytes;
}

bool same_file(const std::string& a, const std::string& b) {
  std::error_code error;
  if (fs::equivalent(a, b, error)) return true;
  if (error && a.empty() != b.empty()) return false;
  const fs::path place = fs::weakly_canonical(fs::absolute(a), error);
  if (error) return a == b;
  const fs::path other = fs::weakly_canonical(fs::absolute(b), error);
  return error ? a == b : place == other;
}

}  // namespace rw
