# SPDX-License-Identifier: Apache-2.0
"""Which format for the weights of a model: what it loses, how fast it is here, and mixtures."""
