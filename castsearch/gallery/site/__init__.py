"""The gallery: a folder of pages that show a ranking, opened from the disk, on which it can be put right."""
