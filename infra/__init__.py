"""What carries Vigil: machines, servers, supervision, and the `vigil` command that joins them."""
