# SPDX-License-Identifier: Apache-2.0
"""An example may take as long as it takes: the library may have been built without optimisation."""

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
