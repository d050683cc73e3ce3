"""Files on disks and in object stores, and the bytes of Arrow files."""
