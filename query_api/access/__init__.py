"""Access: who may ask what, and in which project."""
