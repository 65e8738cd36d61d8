"""What others reach on the same data: programs of an environment of their own, which the benchmark makes and runs."""
