"""Images in: from folders, archives and data sets to squares of pixels."""
