"""The benchmark's suites: ratios by turns (ratios.py), and what is measured in absolute terms, a file each."""
