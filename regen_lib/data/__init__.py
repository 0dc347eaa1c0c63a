"""Sources of images and how they are decoded."""
