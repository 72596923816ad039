"""A file system that forgets or refuses: a shim between a process and libc, and what a disk holds after a power cut."""
