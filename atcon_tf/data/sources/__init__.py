"""Sources of images: each file reads one layout of files."""
