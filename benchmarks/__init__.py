"""What Vigil reaches, beside the raw limits of the servers it runs on, in one run on the same data."""
