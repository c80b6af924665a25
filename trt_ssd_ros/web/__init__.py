"""Web page of a detector: a node that serves pictures, boxes and controls to browsers."""
