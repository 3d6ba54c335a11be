"""Tables as an evaluation reads them: those of the ground truth with all their digits, and
predictions.

Coordinates are float64 in the frame of the picture: (0, 0) is its upper left corner, (1, 1) the
lower right one. A build's tables have float32, whose rounding would move a box across a threshold.
"""
