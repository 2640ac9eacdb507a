#!/usr/bin/env python3
"""A model of the time of one step of data-parallel training on 1 to 1,024 processes, from measured numbers; as a table and a
plot.
usage: model.py --shard-ms C --parameters P --shards V [--update-ms U] [--spread S] [--network NAME:LATENCY_US:MESSAGE_US:GB_PER_S]...
                [--most N] [--svg FILE]
C is the time that one process takes for one shard, U what clipping and the optimizer take, which every process does for
itself. Of a network: the time of a message of one byte; the processor's part of it, which messages to several others do not
share; what a process can send in a second. distributed_cost measures the first and the last. S is the standard deviation of
a process's step over its mean (0.02).

  compute    the most shards that a process has, times C
  slowest    the slowest of n normal processes is behind the mean by S sqrt(2 ln n)
  latency    four exchanges with every other process: slices, sums, losses, and the time and signals of `rewind train`
  bandwidth  a slice to each other process, and the sum of one's own to each: 2 (n - 1) / n of the parameters, 4 bytes each.
             Where n is no power of two a process has more to send, but while it computes"""
import argparse, collections, math, pathlib, subprocess, sys, tempfile

EXCHANGES = 4
Network = collections.namedtuple('Network', 'name latency_us message_us gb_per_s')


def parts(n, a, network):
  """Milliseconds of a step of n processes: compute, slowest, latency, bandwidth, update."""
  compute = math.ceil(a.shards / n) * a.shard_ms
  if n == 1: return compute, 0, 0, 0, a.update_ms
  slowest = compute * a.spread * math.sqrt(2 * math.log(n))
  latency = EXCHANGES * (network.latency_us + (n - 2) * network.message_us) * 1e-3
  bandwidth = 2 * (n - 1) / n * 4 * a.parameters / (network.gb_per_s * 1e6)
  return compute, slowest, latency, bandwidth, a.update_ms


def sizes(most):
  return [2 ** i for i in range(most.bit_length()) if 2 ** i <= most]


def table(a):
  lines = ['| processes | compute | slowest |' +
           ''.join(f' {n.name}: latency | bandwidth | step | times as fast |' for n in a.network),
           '|' + '---:|' * (3 + 4 * len(a.network))]
  for n in sizes(a.most):
    compute, slowest, *_ = parts(n, a, a.network[0])
    row = f'| {n:,} | {compute:.3g} | {slowest:.2g} |'
    for network in a.network:
      step = sum(parts(n, a, network))
      _, _, latency, bandwidth, _ = parts(n, a, network)
      row += f' {latency:.2g} | {bandwidth:.2g} | {step:.3g} | {sum(parts(1, a, network)) / step:.3g} |'
    lines.append(row)
  return '\n'.join(lines)


def plot(a):
  with tempfile.TemporaryDirectory() as folder:
    script = [f'set terminal svg size 760,480 background rgb "white"; set output "{a.svg}"',
              'set logscale xy 2; set xlabel "processes"; set ylabel "ms a step"; set key top right; set grid',
              'set format y "%g"',
              f'set title "a step of {a.parameters:,} parameters, {a.shards:,} shards of {a.shard_ms:g} ms"']
    curves = []
    for i, network in enumerate(a.network):
      data = pathlib.Path(folder) / f'{i}.txt'
      data.write_text('\n'.join(f'{n} {sum(parts(n, a, network))}' for n in sizes(a.most)))
      curves.append(f'"{data}" with linespoints linewidth 2 title "{network.name}"')
    alone = a.shards * a.shard_ms
    curves.append(f'{alone} / x + {a.update_ms} with lines dashtype 2 linecolor "gray" title "no communication"')
    script.append(f'plot [1:{a.most}] ' + ', '.join(curves))
    file = pathlib.Path(folder) / 'plot'
    file.write_text('\n'.join(script))
    subprocess.run(['gnuplot', file], check=True)


def network(text):
  name, *numbers = text.split(':')
  return Network(name, *map(float, numbers))


def main():
  parser = argparse.ArgumentParser(usage=__doc__.split('usage: ')[1])
  parser.add_argument('--shard-ms', type=float, required=True)
  parser.add_argument('--parameters', type=int, required=True)
  parser.add_argument('--shards', type=int, required=True)
  parser.add_argument('--update-ms', type=float, default=0)
  parser.add_argument('--spread', type=float, default=0.02)
  parser.add_argument('--most', type=int, default=1024)
  parser.add_argument('--network', type=network, action='append', required=True)
  parser.add_argument('--svg')
  a = parser.parse_args()
  print(table(a))
  if a.svg: plot(a)
  return 0


if __name__ == '__main__': sys.exit(main())
