#!/usr/bin/env python3
"""A model of the time of one step of data-parallel training on 1 to 1,024 processes, from measured numbers; as a table and a
plot.
usage: model.py --shard-ms C --parameters P --shards V [--network NAME:LATENCY_US:GB_PER_S]... [--spread S] [--svg FILE]
C is the time that one process takes for one shard; a network's two numbers are the time of a message of one byte and what a
process can send in a second; S is the standard deviation of a process's step over its mean (0.02). distributed_cost measures
latency and bandwidth.

  compute   the most shards that a process has, times C, times what the slowest of n is behind the mean: 1 + S sqrt(2 ln n)
  latency   two exchanges with every other process: 2 (n - 1) messages
  bandwidth a slice for each other process, and one from each: 2 (n - 1) / n of the parameters, 4 bytes each; where n is no
            power of two, up to twice that
  update    clipping and the optimizer, which every process does for itself: --update-ms"""
import argparse, math, pathlib, subprocess, sys, tempfile


def parts(n, a, latency_us, gb_per_s):
  slowest = 1 + a.spread * math.sqrt(2 * math.log(n)) if n > 1 else 1
  compute = math.ceil(a.shards / n) * a.shard_ms * slowest
  latency = 2 * (n - 1) * latency_us * 1e-3
  nodes = 1 if n & (n - 1) == 0 else 2
  bandwidth = (1 + nodes) * (n - 1) / n * 4 * a.parameters / (gb_per_s * 1e6)
  return compute, latency, bandwidth, a.update_ms


def sizes(most):
  n = 1
  while n <= most:
    yield n
    n *= 2


def table(a, networks):
  lines = ['| processes | compute |' + ''.join(f' {name}: latency | bandwidth | step | of 1 |' for name, _, _ in networks),
           '|' + '---:|' * (2 + 4 * len(networks))]
  for n in sizes(1024):
    row = f'| {n} | {parts(n, a, 0, 1)[0]:.3g} |'
    for _, latency, bandwidth in networks:
      c, l, b, u = parts(n, a, latency, bandwidth)
      alone = sum(parts(1, a, latency, bandwidth))
      row += f' {l:.3g} | {b:.3g} | {c + l + b + u:.3g} | {alone / (c + l + b + u):.3g} |'
    lines.append(row)
  return '\n'.join(lines)


def plot(a, networks, svg):
  with tempfile.TemporaryDirectory() as folder:
    script = [f'set terminal svg size 760,480 background rgb "white"; set output "{svg}"',
              'set logscale xy 2; set xlabel "processes"; set ylabel "ms a step"; set key top right; set grid',
              'set format y "%g"', f'set title "a step of {a.parameters:,} parameters, {a.shards} shards of {a.shard_ms:g} ms"']
    curves = []
    for i, (name, latency, bandwidth) in enumerate(networks):
      data = pathlib.Path(folder) / f'{i}.txt'
      data.write_text('\n'.join(f'{n} {sum(parts(n, a, latency, bandwidth))}' for n in sizes(1024)))
      curves.append(f'"{data}" with linespoints linewidth 2 title "{name}"')
    curves.append(f'{a.shards * a.shard_ms + a.update_ms} / x with lines dashtype 2 linecolor "gray" title "no communication"')
    script.append('plot [1:1024] ' + ', '.join(curves))
    file = pathlib.Path(folder) / 'plot'
    file.write_text('\n'.join(script))
    subprocess.run(['gnuplot', file], check=True)


def main():
  parser = argparse.ArgumentParser(usage=__doc__.split('usage: ')[1])
  parser.add_argument('--shard-ms', type=float, required=True)
  parser.add_argument('--parameters', type=int, required=True)
  parser.add_argument('--shards', type=int, required=True)
  parser.add_argument('--update-ms', type=float, default=0)
  parser.add_argument('--spread', type=float, default=0.02)
  parser.add_argument('--network', action='append', default=[])
  parser.add_argument('--svg')
  a = parser.parse_args()
  networks = []
  for text in a.network:
    name, latency, bandwidth = text.rsplit(':', 2)
    networks.append((name, float(latency), float(bandwidth)))
  print(table(a, networks))
  if a.svg: plot(a, networks, a.svg)
  return 0


if __name__ == '__main__': sys.exit(main())
