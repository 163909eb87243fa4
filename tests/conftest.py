"""One thread per process: the tests run two at a time, and sums must come out in the same order everywhere."""

import os

import torch

torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the kernels that the tests start
