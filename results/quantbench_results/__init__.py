"""Turns quantbench's results files into reports, comparisons and choices."""
