# SPDX-License-Identifier: Apache-2.0
"""The report's charts, as Plotly figures that carry what the page's filters need.

Every trace has `meta`: op, format, variant, machine, threads, and `y`: the same points in other
measures. Colours are the page's business (light and dark), so a trace only names its variant.
All text in a figure is escaped: Plotly reads markup in names.
"""
