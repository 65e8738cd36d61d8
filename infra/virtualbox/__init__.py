"""Machines on VirtualBox: Terraform's plan of them, shown before it is applied, and what it does not see by itself."""
