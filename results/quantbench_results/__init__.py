# SPDX-License-Identifier: Apache-2.0
"""Turns quantbench's results files into reports, comparisons and choices."""
