"""Arrays as content-addressed files: files (one directory of them), catalog (what the front knows of it)."""
