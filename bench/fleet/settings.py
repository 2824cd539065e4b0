# SPDX-License-Identifier: Apache-2.0
"""ReFrame's settings for three kinds of fleets; copy what is yours and change names.

reframe -C bench/fleet/settings.py --system=laptop|container|cluster ...
"""

import os

# The one partition of a machine without a scheduler.
HERE = {
    "name": "here",
    "descr": "this machine",
    "scheduler": "local",
    "launcher": "local",
    "max_jobs": 1,  # one after the other: two runs on one machine spoil each other
    "environs": ["static", "gcc"],
}


def slurm_partition(name, descr):
    return {
        "name": name,
        "descr": descr,
        # `squeue` needs no accounting database; where there is one, `slurm` asks it.
        "scheduler": os.environ.get("QB_SLURM", "squeue"),
        "launcher": "local",
        "access": [f"--partition={name}"],
        "max_jobs": 100,
        "environs": ["static", "gcc"],
    }


site_configuration = {
    "systems": [
        {
            "name": "cluster",
            "descr": "Slurm: a partition per kind of machine",
            "hostnames": [],
            "partitions": [
                slurm_partition("zen", "AMD"),
                slurm_partition("xeon", "Intel"),
            ],
        },
        {
            "name": "container",
            "descr": "in a container that nobody can log in to: ReFrame runs inside, results to a volume",
            "hostnames": [],
            "partitions": [{**HERE, "environs": ["static"]}],
        },
        {
            "name": "laptop",
            "descr": "the machine that ReFrame runs on",
            "hostnames": [".*"],
            "partitions": [HERE],
        },
    ],
    "environments": [
        {"name": "static", "features": ["static"]},
        {"name": "gcc", "cc": "gcc", "cxx": "g++", "features": ["compiles"]},
        {"name": "clang", "cc": "clang", "cxx": "clang++", "features": ["compiles"]},
    ],
    "logging": [
        {
            "handlers": [
                {
                    "type": "stream",
                    "name": "stdout",
                    "level": "info",
                    "format": "%(message)s",
                },
            ],
            "handlers_perflog": [
                {
                    "type": "filelog",
                    "prefix": "%(check_system)s/%(check_partition)s",
                    "level": "info",
                    "format": "%(check_result)s,%(check_job_completion_time)s,%(check_environ)s,"
                    "%(check_job_nodelist)s,%(check_perfvalues)s",
                    "format_perfvars": "%(check_perf_value)s,%(check_perf_unit)s,%(check_perf_ref)s,",
                    "append": True,
                },
            ],
        }
    ],
}
