"""What the peers of `cargo xtask bench` share: a program that is run and measured, and figures beside those of another."""

import os
import statistics
import subprocess
import sys
import tempfile
import time


def measured(command, environment):
    """Standard output of a program; its seconds, seconds of the CPU, and peak resident bytes. What it says otherwise is shown if it fails."""
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as told, tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, env=os.environ | environment, stdout=told, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        told.seek(0), said.seek(0)
        if process.returncode:
            sys.exit(f"{' '.join(command)} failed:\n{said.read()}")
        figures = {"seconds": seconds, "cpu": usage.ru_utime + usage.ru_stime, "peak": usage.ru_maxrss * 1024}
        return told.read(), figures


def spread(ratios):
    """The median of ratios, with the least and the most."""
    figures = {"median": statistics.median(ratios), "least": min(ratios), "most": max(ratios)}
    return {name: round(ratio, 2) for name, ratio in figures.items()}
