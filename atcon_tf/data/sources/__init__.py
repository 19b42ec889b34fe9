"""Where images come from: a layout of files a file."""
