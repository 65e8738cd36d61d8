"""An emulated VBoxManage, and the machines that it boots.

`VBoxManage` is the executable that tests name to what calls the real one; `main` is the same in this process. Its state
is a folder (VBOX_EMULATED_HOME). `boot` says how a program that boots real machines is called.
"""
