"""Depth: boxes in an image become places in metres. The files without `node` in their name know no ROS."""
