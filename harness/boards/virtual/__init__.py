"""The virtual board: a real arm64 Debian Linux under QEMU, its time counted in instructions.

QEMU's ``-icount`` lets the guest's clock advance by executed instructions alone, so that a latency
measured in the guest is the same on a busy host as on an idle one. Its absolute figures mean nothing;
a change of a few percent is truly seen. Everything but a vendor's accelerator can be proven on it.
"""
