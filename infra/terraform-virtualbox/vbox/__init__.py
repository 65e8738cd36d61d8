"""Machines, a NAT network, port forwards and images over VBoxManage: idempotent commands that refuse what is not ours.

Terraform calls it as a script, `python vbox COMMAND`, with what to make as JSON in VBOX_SPEC (`spec`). It needs Python
3.11, pycdlib for seeds, and nothing of Vigil.
"""
