#!/usr/bin/env python3
"""Says whether a broken compiler is caught: each mutant below breaks one pass or one kind of kernel instruction.

All mutants are compiled at once, into a scratch copy of the compiler's sources in which each mutated expression asks an
environment variable which of the two to be. Then random programs run for each, until one fails; where none does, the
compiler's own tests, until one fails.

usage: mutants.py [--build build/release] [--seconds N] [--only TEXT] [--scratch FOLDER] [--program FILE]
Needs a build of test_autograd. Exit status 1 when a mutant is not caught. `«...»` marks what is replaced.
"""
import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
PASSES, KERNEL, MEMORY, PLAN, LENGTHS = (
    f"autograd/compile/{name}/" for name in ("passes", "kernel", "memory", "plan", "lengths"))

# Some that come to mind are no faults, and are not listed: pieces that overlap (computed twice), a column for one row's
# number (the same fill), a bound of a chunk that is one off (the next overwrites it), a kernel's reads in a lifetime (its
# writes count from where it begins), one of the two ends of a section side by side (the other still overlaps), a rule
# by which listings are compared to find a pattern (a pattern is believed only if it gives both of them, word for word).
# A value that is wanted in one piece but stands in rows is a fault of speed alone: it is copied, and a test counts that.
# What is broken, the file, the place, what stands there instead.
MUTANTS = [
    ("simplify: a slice of a slice", PASSES + "simplify.cpp", "s.start += «out_.op<Slice>(x).start»;", "0"),
    ("simplify: a slice of a concatenation", PASSES + "simplify.cpp", "s.start -= «at»;", "Index{0}"),
    ("simplify: neighbours", PASSES + "simplify.cpp", "flat(p).base != from.base || «flat(p).offset != at»", "false"),
    ("simplify: x * 0.5 is x", PASSES + "simplify.cpp", "== Arithmetic::div) && is(in[1], «1»)", "0.5"),
    ("slice_inputs: axes of a stretched input", PASSES + "slice_inputs.cpp",
     "part.axis -= «out.rank() - in.rank()»;", "0"),
    ("slice_inputs: another piece", PASSES + "slice_inputs.cpp",
     "pieces_[i][static_cast<std::size_t>(«at - pieces.begin()»)]", "0"),
    ("slice_inputs: a stretched row takes a shape", PASSES + "slice_inputs.cpp",
     "if («from.rows() != to.rows()» ||", "false"),
    ("batch: rows of the parts", PASSES + "batch.cpp", "replaced_.replace(m, part);\n    at += «rows»;", "Index{0}"),
    ("batch: products that wait for each other", PASSES + "batch.cpp", "depth_[x] + («in_group_[x]» ?", "false"),
    ("batch: a dropped term", PASSES + "batch.cpp", "Group terms = «s.rest»;", "Group{}"),
    ("batch: the other operand of summed products", PASSES + "batch.cpp",
     "a = stacked(group, 0, like), b = stacked(group, «1», like);", "0u"),
    ("join_matrices: columns of the parts", PASSES + "join_matrices.cpp", "      at += «cols»;", "Index{0}"),
    ("join_matrices: rows of stacks side by side", PASSES + "join_matrices.cpp", "pieces.push_back(g_.in(x, «k»));", "0u"),
    ("join_matrices: a dropped term", PASSES + "join_matrices.cpp",
     "if («std::find(group.begin(), group.end(), t) == group.end()») terms", "false"),
    ("stacks_to_slices: the first column", PASSES + "stacks_to_slices.cpp", "Slice{1, «found.column»,", "Index{0}"),
    ("stacks_to_slices: another column of the stack", PASSES + "stacks_to_slices.cpp",
     "c.whole == whole && «c.at == at»", "true"),
    ("stacks_to_slices: a circle", PASSES + "stacks_to_slices.cpp", "«!needs(replaced_.now(stack), narrow)»", "true"),
    ("chunk: first rows of a view", PASSES + "chunk.cpp", "{parts.back(), «r.begin - c.begin»,", "Index{0}"),
    ("chunk: a view that falls into two", PASSES + "chunk.cpp", "(end < wanted || «needed > end»)", "false"),
    ("chunk: another chunk", PASSES + "chunk.cpp", "view_of_[r.view] = {«parts.back()»,", "parts.front()"),
    ("running_sums: the first term", PASSES + "running_sums.cpp",
     "s.total = «begins» ?", "(s.next <= 1 || begins)"),
    ("running_sums: the last term", PASSES + "running_sums.cpp", "plus(s, s.total, «term»);",
     "(s.next + 1 == terms.size() ? s.total : term)"),
    ("running_sums: a term twice", PASSES + "running_sums.cpp", "const NodeId term = rewriter_.now(terms[«s.next»]);",
     "(s.next == 1 ? 0u : s.next)"),
    ("fuse: a kernel waits for what it needs", PASSES + "fuse.cpp", "(same ? 0u : «1u»)", "0u"),
    ("fuse: other widths", PASSES + "fuse.cpp", "«width_[a] == width_[b]» &&", "true"),
    ("fuse: stages in one kernel", PASSES + "fuse.cpp", "std::pair(whole, «stage_[i]»)", "0u"),
    ("order: sums begin the next phase", KERNEL + "kernel_order.cpp", "sums_before + («sums_each_row(g_, in)» ?", "false"),
    ("order: numbers of rows come first", KERNEL + "kernel_order.cpp", "else if («g_.nodes[i].shape.cols() > 1»)", "true"),
    ("order: a result over its operand", KERNEL + "kernel_order.cpp",
     "if ((«before(reader, i) && !at_end[reader - begin_]») ||", "true"),
    ("combined: what others read, too", KERNEL + "kernel_order.cpp", "«uses[x - begin_] == 1» &&", "true"),
    ("combined: swapped operands", KERNEL + "program.cpp", "arithmetic(i), «is_part(b)»)", "false"),
    ("combined: a term of a sum", KERNEL + "program.cpp", "if («k < in.size()») add(plus", "false"),
    ("registers: used again too early", KERNEL + "program.cpp",
     "!inside(in) || «last_use_[in - begin_] != position_[user - begin_]»",
     "(last_use_[in - begin_] > position_[user - begin_] + 1)"),
    ("columns: one number for all rows", KERNEL + "program.cpp", "kind = «p_.rows > 1» ? OperandKind::column", "false"),
    ("broadcast: left out", KERNEL + "program.cpp", "|| «over(reader) != Over::elements») return register_of(raw);", "true"),
    ("broadcast: one short", KERNEL + "kernel.cpp", "std::fill_n(reg[i.out], «n», *x[0])", "(n - 1)"),
    ("broadcast: another register", KERNEL + "program.cpp",
     "std::fill_n(instruction.in, KernelProgram::most_inputs, «register_of(in)»);", "std::uint16_t{0}"),
    ("sum: one short", KERNEL + "kernel.cpp", "sum(x[0], «p.cols»)", "(p.cols - 1)"),
    ("sum: a block for the row", KERNEL + "kernel.cpp", "sum(x[0], «p.cols»)", "std::min(n, p.cols)"),
    ("sum: registers of one block", KERNEL + "kernel.cpp",
     "(i.over == Over::sum || «written[r] != run»)", "false"),
    ("rows: a number is not computed", KERNEL + "kernel.cpp", "(i.fn, «1», x, reg[i.out])", "0"),
    ("elements: blocks do not move", KERNEL + "kernel.cpp", "(c & «p.moves_[r]»)", "Index{0}"),
    ("elements: shared registers move", KERNEL + "kernel.cpp", "(c & «p.moves_[r]»)", "Index{-1}"),
    ("flat: blocks do not move", KERNEL + "kernel.cpp", "reg[i] = data(i) + «at»;", "Index{0}"),
    ("padded: one short", KERNEL + "kernel.cpp", "copy_rows(1, «n», reg[i], 0, data(i), 0)", "(n - 1)"),
    ("wide: rows do not move", KERNEL + "kernel.cpp", "if (kind == OperandKind::row) reg[i] = data(i) + «c»;", "Index{0}"),
    ("wide: stride of rows", KERNEL + "kernel.cpp", "data(i) + r * «strides[i]» + c;", "p.cols"),
    ("narrow: stride of results", KERNEL + "kernel.cpp",
     "copy_rows(rows, cols, reg[i], cols, data(i) + r * strides[i], «strides[i]»)", "cols"),
    ("narrow: stride of operands", KERNEL + "kernel.cpp",
     "copy_rows(rows, cols, data(i) + r * strides[i], «strides[i]», reg[i], cols)", "cols"),
    ("by rows: the same column", KERNEL + "kernel.cpp", "std::fill_n(reg[i] = own(i), n, data(i)[«r» * strides[i]])", "Index{0}"),
    ("place: columns of a concatenation", MEMORY + "layout.cpp",
     "slot_[root] = {c, 0, «column»};", "Index{0}"),
    ("place: rows of a chain", MEMORY + "layout.cpp", "at += «g_.nodes[i].shape.size()»;\n    }", "Index{0}"),
    ("place: pieces that stand elsewhere", MEMORY + "layout.cpp",
     "slot_[root].parent == concat && «slot_[root].offset == column»", "true"),
    ("reuse: what is wanted in one piece, in rows", MEMORY + "in_place.cpp",
     "(«movable != Movable::in_rows» || cols", "false"),
    ("reuse: what is read later", MEMORY + "buffer_uses.cpp", "return «!next->second.read» && (", "true"),
    ("reuse: what is written later", MEMORY + "buffer_uses.cpp",
     "(«next->first > until» || (next->first == until", "true"),
    ("reuse: rows around", MEMORY + "buffer_uses.cpp", "«around->rbegin()->first >= time»", "false"),
    ("addresses: a buffer ends one too early", MEMORY + "addresses.cpp",
     "«buffers[by_last[ended]].last < b.first»", "(buffers[by_last[ended]].last <= b.first)"),
    ("addresses: sizes", MEMORY + "addresses.cpp", "release(free, buffers[by_last[ended++]]);\n    const std::size_t size = rounded(«b.bytes»);",
     "(b.bytes / 2)"),
    ("lifetimes: reads", MEMORY + "lifetimes.cpp", "for (NodeId in : g.in(i)) touch(in, end[i], «end[i]», lane);",
     "begin[i] - (begin[i] > 0 ? 1u : 0u)"),
    ("lifetimes: results", MEMORY + "lifetimes.cpp", "for (NodeId o : g.outputs) touch(o, «n, n», Lane());", "0u, 0u"),
    ("lifetimes: side by side", MEMORY + "lifetimes.cpp",
     "whole[id].add(«in_lane ? section.first : from, in_lane ? section.last : to»);", "from, to"),
    ("lanes: what is read", PLAN + "lane_needs.cpp", "need(unit, «wrote[cell + other]»);", "0u"),
    ("lanes: what is overwritten", PLAN + "lane_needs.cpp", "if (uses[k].write) need(unit, «read[cell + other]»);", "0u"),
    ("products: stride of the matrix", PLAN + "lowering.cpp", "product.ldb = «places[b].stride»;", "g_.nodes[b].shape.cols()"),
    ("products: stride of the result", PLAN + "lowering.cpp", "product.ldc = «places[i].stride»;", "n.shape.cols()"),
    ("accumulate: a product that others read", PLAN + "lowering.cpp",
     "!is_product(value) || «uses[value] != 1» ||", "false"),
    ("kernels: room behind a value", MEMORY + "layout.cpp", "if («at.base == Base::buffer && begin + bytes != all»)",
     "false"),
    ("rows: not counted round", KERNEL + "fusible.cpp", "if («leading == 1») rows.count", "true"),
    ("rows: always the first", KERNEL + "kernel.cpp", "reg[i] = «row_of(i, r)» + c;", "row_of(i, begin)"),
    ("rows: the first of a group", KERNEL + "kernel.cpp", "copy_rows(n, p.cols, «row_of(i, r + k)»,", "row_of(i, r)"),
    ("round_products: cut off", PASSES + "round_products.cpp", "((bits + «0x7fff + even») &", "0u"),
    ("round_products: only the first operand", PASSES + "round_products.cpp", "in.push_back(«rounded(x)»);",
     "(in.empty() ? rounded(x) : rewriter_.now(x))"),
    ("round_products: nothing", PASSES + "round_products.cpp", "through ? moved(i) : «round(i)»;", "rewriter_.now(i)"),
    ("own_outputs: the caller's memory", PASSES + "passes.cpp", "if («is_part_of_leaf(out, o)») o", "false"),
    ("own_outputs: another value", PASSES + "passes.cpp", "o = out.add(Copy{}, {«o»},", "out.outputs[0]"),
    ("schedule: before its inputs are there", PASSES + "schedule.cpp",
     "ready[lane] = std::max(ready[lane], «x.finish + (!x.source && x.lane != lane ? far : 0)»);", "0.0"),
    ("schedule: the last of a unit", PASSES + "schedule.cpp", "i < «units_[u].end»; ++i) rewriter.to", "units_[u].begin + 1"),
    ("lengths: stride of an operand", LENGTHS + "plan_listing.cpp", "p_.strides_.push_back(«from.stride»);",
     "from.stride / 2"),
    ("lengths: stride of a matrix", LENGTHS + "plan_listing.cpp",
     "for (Index* n : {&p.m, &p.n, &p.k, &p.lda, &p.ldb, &p.ldc}) *n = number();\n    fits_ = «fits_»",
     "((p.ldb = p.tb ? p.k : p.n), fits_)"),
    ("lengths: one row short", LENGTHS + "plan_listing.cpp", "const Index rows = «number()», cols = number();",
     "(number() - 1)"),
    ("lengths: a buffer ends one too early", LENGTHS + "plan_listing.cpp", "b.last = «static_cast<NodeId>(number())»;",
     "static_cast<NodeId>(number() - 1)"),
    ("lengths: the place of another step", LENGTHS + "plan_listing.cpp",
     "const auto offset = static_cast<std::size_t>(«from.offset»);", "last_.offset"),
    ("lengths: a number of another length", LENGTHS + "pattern.cpp",
     "reals[i] = «slots[static_cast<std::size_t>(slot_of_real_[i])]»;", "reals[i]"),
    ("lengths: a program that does something else", LENGTHS + "trace_listing.cpp",
     "return bytes == 0 || «std::memcmp(n.op, expected, bytes) == 0» ||", "true"),
    ("kernels: equal programs", KERNEL + "kernel.cpp",
     "if («a.fn != b.fn && !(a.equal != nullptr && a.equal(a.fn, b.fn))»)", "false"),
]


def mutated(texts, number, mutant):
    """Puts both expressions where the original stood."""
    name, file, place, other = mutant
    before, original, after = re.fullmatch(r"(.*)«(.*)»(.*)", place, re.S).groups()
    text = texts.setdefault(file, (ROOT / file).read_text())
    # A place may hold another mutant already.
    at = text.find(before + original + after)
    inner = None
    if at < 0:
        inner = re.search(re.escape(before) + r"(\(rw_mutant == \d+ \? .*?\))" + re.escape(after), text, re.S)
    if at < 0 and inner is None or at >= 0 and text.count(before + original + after) != 1:
        sys.exit(f"mutants.py: {name}: its place is not there once: {place}")
    if "," in original and other.count(",") and "(" not in original:  # two arguments
        now = ", ".join(f"(rw_mutant == {number} ? {b} : {a})" for a, b in zip(original.split(","), other.split(",")))
    else:
        now = f"(rw_mutant == {number} ? {other} : {original if inner is None else inner.group(1)})"
    old = before + original + after if inner is None else inner.group(0)
    texts[file] = text.replace(old, before + now + after)


def build(options, scratch):
    texts = {}
    for number, mutant in enumerate(MUTANTS, 1):
        mutated(texts, number, mutant)
    unit = ["#include <algorithm>", "#include <cstdlib>",
            'static const int rw_mutant = std::getenv("REWIND_MUTANT") ? std::atoi(std::getenv("REWIND_MUTANT")) : 0;']
    for file, text in texts.items():
        (scratch / Path(file).name).write_text(text)
        unit.append(f'#include "{scratch / Path(file).name}"')
    (scratch / "unit.cpp").write_text("\n".join(unit) + "\n")
    commands = json.loads((options.build / "compile_commands.json").read_text())
    like = next(c for c in commands if c["file"].endswith(PASSES + "passes.cpp"))
    words = shlex.split(like["command"])
    cut = words.index("-o")
    compile_unit = words[:cut] + ["-w", "-o", str(scratch / "unit.o"), "-c", str(scratch / "unit.cpp")]
    subprocess.run(compile_unit, cwd=like["directory"], check=True)
    # The object's symbols stand before those of the library.
    link = subprocess.run(["ninja", "-t", "commands", "-s", "test_autograd"], cwd=options.build, check=True,
                          capture_output=True, text=True).stdout.strip().splitlines()[-1]
    link = re.sub(r"-o \S+", f"-o {scratch / 'mutants'} {scratch / 'unit.o'}", link, count=1)
    subprocess.run(link, shell=True, cwd=options.build, check=True)
    return scratch / "mutants"


def run(program, number, seconds):
    """What the first program that fails says, or None."""
    environment = dict(os.environ, REWIND_MUTANT=str(number), REWIND_FUZZ_SECONDS=str(seconds), REWIND_FUZZ_SEED="0")
    out = subprocess.run([program, "--no-skip", "--test-case=the first program that fails"], env=environment,
                         capture_output=True, text=True, errors="replace").stdout
    found = re.search(r"^seed .*", out, re.M)
    return found.group(0) if found else None


# Tests of the compiler beside random programs: passes by text, plans of programs as they stand, patterns of lengths.
TESTS = ",".join(f"*tests/autograd/compile/{name}/*" for name in ("passes", "kernel", "plan", "memory", "lengths"))


def run_tests(program, number):
    """Which of the compiler's tests fails first, or None."""
    environment = dict(os.environ, REWIND_MUTANT=str(number))
    ended = subprocess.run([program, f"--source-file={TESTS}", "--abort-after=1"], env=environment,
                           capture_output=True, text=True, errors="replace")
    if ended.returncode == 0:
        return None
    found = re.search(r"^TEST CASE: *(.*)", ended.stdout, re.M)
    return f'"{found.group(1)}"' if found else f"exit status {ended.returncode}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=ROOT / "build/release")
    parser.add_argument("--seconds", type=int, default=60, help="for each mutant, at most")
    parser.add_argument("--only", default="", help="mutants whose name has this in it")
    parser.add_argument("--scratch", type=Path)
    parser.add_argument("--program", type=Path, help="one that is built already")
    options = parser.parse_args()
    options.build = options.build.resolve()
    scratch = options.scratch or Path(tempfile.mkdtemp(prefix="rewind-mutants-"))
    scratch.mkdir(parents=True, exist_ok=True)
    program = options.program or build(options, scratch)
    if (why := run(program, 0, options.seconds) or run_tests(program, 0)) is not None:
        sys.exit(f"mutants.py: without a mutant, too, something fails: {why}")
    missed = []
    for number, (name, *_) in enumerate(MUTANTS, 1):
        if options.only not in name:
            continue
        why = run(program, number, options.seconds) or run_tests(program, number)
        print(f"{'caught' if why else 'NOT CAUGHT'}: {name}{': ' + why if why else ''}", flush=True)
        missed += [] if why else [name]
    print(f"{len(missed)} not caught" if missed else "all caught")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
