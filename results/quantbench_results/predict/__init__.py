# SPDX-License-Identifier: Apache-2.0
"""What a static model of a core's pipeline says about the hot loops: a prediction, not a measurement.

quantbench-predict BUILD [BUILD ...] --output results/predicted

The loops are read from the variants' objects (no marks in the kernels): every innermost loop of each
function that an exported kernel reaches, found by its backward branch. llvm-mca runs it as if every
load hit the first cache level and every branch were predicted.

A kernel has loops for several cases (short and long groups, near and far data, tiles of several
sizes), and nothing in an object tells which one a call runs. So a kernel's figure is that of the
cheapest loop that does its work: reads the input and writes the output in the right proportion, or
multiplies numbers of the right type. It is meant as a bound from below. A figure above what was
measured on that very core is no bound, and is refused: shown as such and used for nothing.
"""
