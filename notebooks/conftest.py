"""Notebooks run under pytest as on a machine of their own: tiny profile, sample data, the loopback Hub."""

import environment  # noqa: F401  sets what notebook kernels inherit

collect_ignore = ["assignment/assignment.ipynb"]  # the students' notebook is unsolved
