"""Suites with figures of their own kind: each has `run(quick, stock, directory)` and gives a section of the results."""

from bench_suites import distinct, flood, kong, startup, waiters

ABSOLUTE = {"flood": flood, "distinct": distinct, "waiters": waiters, "startup": startup, "kong": kong}
