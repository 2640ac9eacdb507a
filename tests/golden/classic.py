#!/usr/bin/python3
"""Writes classic.txt: hidden Markov models by going through all paths of states, linear dynamical systems by
conditioning one large normal distribution, autoregression by its normal equations. In exact fractions where there are no
exponentials, with no recursion over time, so that nothing is shared with what tests/models/classic compares.
"""
import itertools
import math
import pathlib
from fractions import Fraction as Q

LINES = []


def put(name, numbers):
    LINES.append(" ".join([name] + [repr(float(n)) for n in numbers]))


def q(rows):
    return [[Q(str(x)) for x in row] for row in rows]


def flat(m):
    return [x for row in m for x in row]


# ---- Hidden Markov model: 3 states, 3 symbols, transitions that are impossible, two sequences of unequal length -------

START = [Q("0.6"), Q("0.4"), Q(0)]
TRANSITION = q([["0.5", "0.5", "0"], ["0", "0.3", "0.7"], ["0.2", "0.2", "0.6"]])
EMISSION = q([["0.7", "0.2", "0.1"], ["0.1", "0.3", "0.6"], ["0.3", "0.4", "0.3"]])
SEQUENCES = {"long": [0, 2, 1, 2, 0, 1], "short": [2, 1, 0]}


def hmm():
    for name, x in SEQUENCES.items():
        total, best, path = Q(0), Q(-1), None
        states = [[Q(0)] * 3 for _ in x]
        counts = [[Q(0)] * 3 for _ in range(3)]
        for p in itertools.product(range(3), repeat=len(x)):
            weight = START[p[0]] * EMISSION[p[0]][x[0]]
            for t in range(1, len(x)):
                weight *= TRANSITION[p[t - 1]][p[t]] * EMISSION[p[t]][x[t]]
            total += weight
            if weight > best:
                best, path = weight, p
            for t, s in enumerate(p):
                states[t][s] += weight
            for a, b in zip(p, p[1:]):
                counts[a][b] += weight
        put(f"hmm_{name}_log_likelihood", [math.log(total)])
        put(f"hmm_{name}_states", [x / total for x in flat(states)])
        put(f"hmm_{name}_transitions", [x / total for x in flat(counts)])
        put(f"hmm_{name}_path", path)
        put(f"hmm_{name}_best", [math.log(best)])


# ---- The same with numbers as outputs: 2 states, 2 numbers a step, independent and normal; in floating point ---------------

MEANS = [[-1.0, 0.5], [1.0, 0.0]]
VARIANCES = [[0.5, 2.0], [1.5, 0.7]]
SEEN = [[-0.8, 1.0], [0.3, -0.4], [1.9, 0.2], [-0.1, 0.6]]


def gaussian_hmm():
    start, transition = [0.3, 0.7], [[0.9, 0.1], [0.2, 0.8]]

    def density(state, x):
        return math.prod(math.exp(-(v - m) ** 2 / (2 * s)) / math.sqrt(2 * math.pi * s)
                         for v, m, s in zip(x, MEANS[state], VARIANCES[state]))

    weights = {}
    for p in itertools.product(range(2), repeat=len(SEEN)):
        weights[p] = start[p[0]] * math.prod(density(s, x) for s, x in zip(p, SEEN))
        weights[p] *= math.prod(transition[a][b] for a, b in zip(p, p[1:]))
    total, best = math.fsum(weights.values()), max(weights, key=weights.get)
    put("gaussian_log_likelihood", [math.log(total)])
    put("gaussian_states",
        [math.fsum(w for p, w in weights.items() if p[t] == s) / total for t in range(len(SEEN)) for s in range(2)])
    put("gaussian_path", best)
    put("gaussian_best", [math.log(weights[best])])


# ---- Linear dynamical system: 2 hidden numbers, 2 seen, 5 steps, some of them missing ---------------------------------

F = q([["0.9", "0.3"], ["-0.2", "0.8"]])
H = q([["1", "0"], ["0.5", "1"]])
NOISE_Q = q([["0.3", "0.1"], ["0.1", "0.2"]])
NOISE_R = q([["0.5", "0.2"], ["0.2", "0.4"]])
M0 = [Q("0.5"), Q("-1")]
P0 = q([["1", "0.3"], ["0.3", "2"]])
Y = q([["1", "-0.5"], ["0.2", "0.4"], ["-0.3", "1.1"], ["0.8", "0"], ["1.5", "-0.7"]])
MISSING = {(1, 0), (1, 1), (3, 1)}


def times(a, b):
    return [[sum(x * y for x, y in zip(row, col)) for col in zip(*b)] for row in a]


def transposed(a):
    return [list(col) for col in zip(*a)]


def plus(a, b):
    return [[x + y for x, y in zip(r, s)] for r, s in zip(a, b)]


def solve(a, b):
    """a^-1 b and the determinant of a."""
    n = len(a)
    m = [list(r) + list(s) for r, s in zip(a, b)]
    det = Q(1)
    for c in range(n):
        pivot = next(r for r in range(c, n) if m[r][c] != 0)
        if pivot != c:
            m[c], m[pivot] = m[pivot], m[c]
            det = -det
        det *= m[c][c]
        m[c] = [x / m[c][c] for x in m[c]]
        for r in range(n):
            if r != c:
                m[r] = [x - m[r][c] * y for x, y in zip(m[r], m[c])]
    return [r[n:] for r in m], det


def kalman(name, missing):
    steps = len(Y)
    means, spread = [M0], {(0, 0): P0}
    for t in range(1, steps):
        means.append(flat(times(F, [[x] for x in means[-1]])))
        for s in range(t):
            spread[t, s] = times(F, spread[t - 1, s])
            spread[s, t] = transposed(spread[t, s])
        spread[t, t] = plus(times(F, times(spread[t - 1, t - 1], transposed(F))), NOISE_Q)
    seen = [(t, i) for t in range(steps) for i in range(2) if (t, i) not in missing]
    cov_y = {}
    for t in range(steps):
        for s in range(steps):
            c = times(H, times(spread[t, s], transposed(H)))
            if t == s:
                c = plus(c, NOISE_R)
            for i in range(2):
                for j in range(2):
                    cov_y[(t, i), (s, j)] = c[i][j]

    def condition(t, on):
        """Mean and covariance of z(t), given some observations; and log p of these."""
        r = [[Y[a][i] - sum(H[i][k] * means[a][k] for k in range(2))] for a, i in on]
        s = [[cov_y[a, b] for b in on] for a in on]
        cross = [[sum(spread[t, b[0]][k][l] * H[b[1]][l] for l in range(2)) for b in on] for k in range(2)]
        if not on:
            return means[t], spread[t, t], 0
        right, det = solve(s, [x + list(c) for x, c in zip(r, transposed(cross))])
        w, g = [[row[0]] for row in right], [row[1:] for row in right]
        mean = [m + d[0] for m, d in zip(means[t], times(cross, w))]
        less = times(cross, g)
        cov = [[x - y for x, y in zip(a, b)] for a, b in zip(spread[t, t], less)]
        square = times(transposed(r), w)[0][0]
        return mean, cov, -0.5 * (float(square) + math.log(det) + len(on) * math.log(2 * math.pi))

    put(f"kalman_{name}_log_likelihood", [condition(0, seen)[2]])
    for what, until in (("filtered", lambda t: t), ("predicted", lambda t: t - 1), ("smoothed", lambda t: steps)):
        given = [condition(t, [o for o in seen if o[0] <= until(t)]) for t in range(steps)]
        put(f"kalman_{name}_{what}_mean", [x for g in given for x in g[0]])
        put(f"kalman_{name}_{what}_covariance", [x for g in given for x in flat(g[1])])


# ---- Autoregression of order 2 with a constant -------------------------------------------------------------------------

SERIES = [Q(str(x)) for x in ["0.3", "-0.2", "0.5", "1.1", "0.4", "-0.6", "-0.9", "0.1", "0.8", "0.7"]]


def autoregression():
    rows = [[SERIES[t - 2], SERIES[t - 1], Q(1)] for t in range(2, len(SERIES))]
    y = [[SERIES[t]] for t in range(2, len(SERIES))]
    put("autoregression", flat(solve(times(transposed(rows), rows), times(transposed(rows), y))[0]))


hmm()
gaussian_hmm()
kalman("all", set())
kalman("missing", MISSING)
autoregression()
pathlib.Path(__file__).with_name("classic.txt").write_text("\n".join(LINES) + "\n")
