"""How a test tells the processes that it starts where to fail and where to leave traces: by environment variables."""

#: the file that arms a fault point
FUSE = "FAULT_FUSE"
#: the file to which every effect adds a line
EFFECTS = "FAULT_EFFECTS"
