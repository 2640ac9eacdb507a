#pragma once

#include <string>
#include <string_view>

namespace rw::cli {

// What a run says to people. None of it may cost the run: nobody may be reading, the terminal may have gone away, the
// disk of a log may be full.

/// Opens /dev/null in place of a standard file that the caller has closed: a model would get its number, and messages
/// would be written into it.
void open_standard_files();

/// Writing to a pipe that nobody reads is an error of that write, and not the end of the process: for commands whose
/// work is not what they print.
void ignore_broken_pipes();

/// An error as the command says it: on one line, without what a terminal obeys, at most some 2,000 bytes. Of a longer
/// word, as a value that was given, only the beginning is there, so that what stands after it is read, too.
std::string one_line(std::string_view what);

/// Writes to standard error, and is silent when that fails. What cannot be written at once, because a reader sleeps or
/// a terminal is stopped by Ctrl-S, is dropped after `patience_ms`.
void message(std::string_view text, int patience_ms = 1000) noexcept;

/// Writes to standard output what a run that is over has come to, and is silent when that fails.
void result(std::string_view text) noexcept;

}  // namespace rw::cli
