"""How long does `import offac_lite` take, against the imports it cannot do without, and what does it bring in?

Run `python -m tests.benchmarks.bench_import`: fresh processes, the two imports taking turns.
"""

import statistics
import subprocess
import sys

REPEATS = 7
UNWANTED = ("matplotlib", "IPython", "ipywidgets")
CODE = """
import sys, time
start = time.perf_counter()
import {modules}
print(time.perf_counter() - start, *(name for name in {unwanted} if name in sys.modules))
"""


def measure(modules):
    """Return the seconds one fresh process takes to import `modules`, and which unwanted ones it then holds."""
    code = CODE.format(modules=modules, unwanted=UNWANTED)
    seconds, *loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    return float(seconds), loaded


def main():
    """Print both medians, their ratio, and the unwanted modules."""
    times = {"torch, gymnasium": [], "offac_lite": []}
    for _ in range(REPEATS):
        for modules in times:
            seconds, loaded = measure(modules)
            times[modules].append(seconds)
    base, package = (statistics.median(values) for values in times.values())
    print(
        f"median of {REPEATS}: import offac_lite {package:.2f} s, import torch, gymnasium {base:.2f} s, "
        f"ratio {package / base:.2f}"
    )
    for name in UNWANTED:
        print(f"{name} imported by offac_lite: {'yes' if name in loaded else 'no'}")


if __name__ == "__main__":
    main()
