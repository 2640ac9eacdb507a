#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include <rewind/core/error.h>
#include <rewind/models/weights/file.h>

namespace rw {
namespace {

[[noreturn]] void fail(const std::string& path, const char* what, int error) {
  throw Error(path + ": " + what + ": " + std::strerror(error));
}

// A file descriptor that is closed, and a temporary file that is removed, when something throws.
class OpenFile {
 public:
  OpenFile(std::string path, int flags) : path_(std::move(path)), fd_(::open(path_.c_str(), flags | O_CLOEXEC, 0666)) {}
  ~OpenFile() {
    if (fd_ >= 0) ::close(fd_);
    if (temporary_) ::unlink(path_.c_str());
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  int fd() const { return fd_; }
  const std::string& path() const { return path_; }
  void set_temporary(bool temporary) { temporary_ = temporary; }
  int close() { return ::close(std::exchange(fd_, -1)); }

 private:
  std::string path_;
  int fd_;
  bool temporary_ = false;
};

void write_parts(int fd, const std::string& path, std::span<const std::string_view> parts) {
  for (std::string_view part : parts) {
    while (!part.empty()) {
      const ssize_t n = ::write(fd, part.data(), std::min<std::size_t>(part.size(), std::size_t{1} << 30));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail(path, "cannot write", errno);
      part.remove_prefix(static_cast<std::size_t>(n));
    }
  }
}

// A file system that cannot sync a folder says EINVAL; the rename has happened all the same.
void sync_folder(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  const OpenFile file(folder.empty() ? "." : folder, O_RDONLY | O_DIRECTORY);
  if (file.fd() >= 0 && ::fsync(file.fd()) != 0 && errno != EINVAL && errno != ENOTSUP)
    fail(path, "cannot flush the folder", errno);
}

void replace(const std::string& path, const std::string& target, std::span<const std::string_view> parts) {
  const std::string temporary = target + ".tmp" + std::to_string(::getpid());
  OpenFile file(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW);
  if (file.fd() < 0) fail(path, "cannot create a file in its folder", errno);
  file.set_temporary(true);
  write_parts(file.fd(), path, parts);
  if (::fsync(file.fd()) != 0) fail(path, "cannot flush", errno);
  if (file.close() != 0) fail(path, "cannot close", errno);
  if (::rename(temporary.c_str(), target.c_str()) != 0) fail(path, "cannot replace", errno);
  file.set_temporary(false);
  sync_folder(target);
}

}  // namespace

void write_file(const std::string& path, std::span<const std::string_view> parts) {
  std::error_code none;
  const auto status = std::filesystem::status(path, none);
  if (std::filesystem::is_directory(status)) throw Error(path + ": cannot write: it is a folder");
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    const OpenFile file(path, O_WRONLY);
    if (file.fd() < 0) fail(path, "cannot open", errno);
    return write_parts(file.fd(), path, parts);
  }
  // The file that a link points to is replaced, not the link.
  const bool link = std::filesystem::is_symlink(std::filesystem::symlink_status(path, none));
  const auto target = link ? std::filesystem::weakly_canonical(path, none).string() : path;
  replace(path, target.empty() ? path : target, parts);
}

std::string read_file(const std::string& path) {
  const OpenFile file(path, O_RDONLY);
  if (file.fd() < 0) fail(path, "cannot open", errno);
  struct stat info {};
  if (::fstat(file.fd(), &info) != 0) fail(path, "cannot read", errno);
  std::string bytes(S_ISREG(info.st_mode) ? static_cast<std::size_t>(info.st_size) : 0, '\0');
  std::size_t size = 0;
  for (;;) {
    if (size == bytes.size()) bytes.resize(size + 65536);  // the end is where read says so
    const ssize_t n = ::read(file.fd(), bytes.data() + size, bytes.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(path, "cannot read", errno);
    if (n == 0) break;
    size += static_cast<std::size_t>(n);
  }
  bytes.resize(size);
  return bytes;
}

}  // namespace rw
