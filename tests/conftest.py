"""One thread for every test and what it starts: the last bits of a result depend on the number of threads."""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import torch

torch.set_num_threads(1)
