#include "options.h"

#include <map>
#include <stdexcept>

namespace rw::bench {

const char* const usage =
    "usage: benchmark [--filter RE] [--contenders RE] [--budget SECONDS] [--threads N] [--quick] [--list] [--text "
    "FILE]\n"
    "                 [--text FILE] [--json FILE] [--svg FILE] [--markdown FILE] [--publish] [--from FILE] [--commit "
    "TEXT]\n"
    "  --filter RE       comparisons whose names contain a match, e.g. 'train/lstm' or '^gemm'\n"
    "  --contenders RE   only contenders whose names contain a match, e.g. 'compiled|oneDNN'\n"
    "  --budget SECONDS  about how long it may take (1800); what matters most comes first, what does not fit is said\n"
    "  --threads N       only with N threads; otherwise with one, and with all cores where that may pay\n"
    "  --quick           one round of each comparison that matches the filter, without one of a few small ones: shows "
    "that\n"
    "                    everything works, not how fast it is\n"
    "  --list            the names of the comparisons, in the order in which they run, and their least seconds\n"
    "  --text FILE       the text for char-rnn; otherwise the project's own sources\n"
    "  --profile         and where the time of the compiled ones goes\n"
    "  --json FILE       everything, with every round\n"
    "  --markdown FILE   tables, one for each group of comparisons and number of threads\n"
    "  --svg FILE        ratios, a row a comparison; curves of growth go into FILE-growth.svg\n"
    "  --publish         the tables and charts of this project's pages\n"
    "  --from FILE       runs nothing: the rest is made of what --json wrote\n"
    "Files are written too when it is interrupted (Ctrl-C); a second Ctrl-C ends it at once.\n";

namespace {

double number_of(const std::string& option, const std::string& value) {
  std::size_t used = 0;
  double out = 0;
  try {
    out = std::stod(value, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  if (used == 0 || used != value.size() || !(out >= 0))
    throw std::invalid_argument(option + " takes a number, not '" + value + "'");
  return out;
}

}  // namespace

Options parsed(int argc, char** argv) {
  Options o;
  const std::map<std::string, bool*> switches{
      {"--quick", &o.quick}, {"--list", &o.list}, {"--publish", &o.publish}, {"--profile", &o.profile}};
  const std::map<std::string, std::string*> texts{
      {"--filter", &o.filter}, {"--contenders", &o.contenders}, {"--text", &o.text}, {"--json", &o.json},
      {"--svg", &o.svg},       {"--markdown", &o.markdown},     {"--from", &o.from}, {"--commit", &o.commit}};
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    if (const auto at = switches.find(arg); at != switches.end()) {
      *at->second = true;
      continue;
    }
    const auto text = texts.find(arg);
    if (text == texts.end() && arg != "--budget" && arg != "--threads")
      throw std::invalid_argument("there is no option " + arg);
    if (++i == argc) throw std::invalid_argument(arg + " takes a value");
    if (text != texts.end())
      *text->second = argv[i];
    else if (arg == "--budget")
      o.budget = number_of(arg, argv[i]);
    else
      o.threads = static_cast<int>(number_of(arg, argv[i]));
    if (arg == "--threads" && o.threads < 1) throw std::invalid_argument("--threads must be at least 1");
  }
  return o;
}

}  // namespace rw::bench
